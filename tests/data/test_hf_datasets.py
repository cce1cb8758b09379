"""Datasets of Hugging Face: their splits, streams, columns and transforms."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import soundfile
from torch.utils.data import DataLoader

from and_nnsight.audio.loading import load
from and_nnsight.data import items as items_module
from and_nnsight.data import open_source
from tests.damaged import sound
from tests.data.clips import CLIP, RATE, clips, encoded, read
from tests.data.small_sources import audio_dataset, labels, with_audio


def cropped(rows: dict[str, list[Any]]) -> dict[str, list[Any]]:
    waves = [soundfile.read(io.BytesIO(file))[0][:400] for file in rows["file"]]
    return {"audio": [{"array": wave, "sampling_rate": RATE} for wave in waves], "label": rows["label"]}


@pytest.mark.parametrize("how", ["with_transform", "set_transform", "with_format"])
def test_a_transform_is_kept(how: str) -> None:
    dataset = encoded()
    if how == "set_transform":
        dataset.set_transform(cropped)
    else:
        dataset = (
            dataset.with_transform(cropped)
            if how == "with_transform"
            else dataset.with_format("custom", transform=cropped)
        )
    for data in (dataset, datasets.DatasetDict({"train": dataset}), dataset.select([0, 1, 2]), DataLoader(dataset)):
        assert [batch.inputs for batch in read(data)] == [[400] * 3]
    assert [clip.label for clip in clips(dataset)] == ["0", "1", "2"]
    assert [item.id for item in open_source(dataset).items(2)] == [2]
    assert open_source(dataset).fingerprint != open_source(encoded(), audio_column="file").fingerprint
    with pytest.raises(ValueError, match="no column 'file'; the columns are audio, label"):
        read(dataset, audio_column="file")


def test_a_transform_of_decoded_audio_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any, **options: Any) -> Any:
        raise ImportError("To support decoding audio data, please install 'torchcodec'.")

    monkeypatch.setattr(datasets.Audio, "decode_example", fail)
    stored = datasets.Dataset.from_list([{"audio": {"bytes": CLIP, "path": None}}]).cast_column(
        "audio", datasets.Audio()
    )
    assert len(clips(stored)) == 1
    with pytest.raises(ValueError, match=r"install 'torchcodec'.*or cast the column to Audio\(decode=False\)"):
        read(stored.with_transform(lambda rows: rows))


def test_a_clip_that_a_transform_cannot_load_is_set_aside() -> None:
    def read_them(rows: dict[str, list[Any]]) -> dict[str, list[Any]]:
        return {"audio": [soundfile.read(io.BytesIO(file))[0] for file in rows["file"]]}

    dataset = datasets.Dataset.from_list([{"file": CLIP}, {"file": b"no sound"}, {"file": CLIP}])
    (batch,) = read(dataset.with_transform(read_them))
    assert [clip.id for clip in batch.clips] == [0, 2]
    assert "its dataset cannot load it: LibsndfileError" in batch.quarantined[0].reason


def test_a_dataset_gives_encoded_audio_and_names_for_labels():
    source = open_source(audio_dataset(caption=["one", "two", None, "", "five", "six"]))
    items = list(source.items())
    assert [item.label for item in items] == ["dog", "rain"] * 3
    assert [item.caption for item in items] == ["one", "two", None, "", "five", "six"]
    assert [item.path for item in items] == [f"{i}.wav" for i in range(6)]
    assert load(items[3].audio, RATE).source_rate == 8000
    assert (source.kind, source.length) == ("dataset", 6)


def test_a_stream_gives_what_its_dataset_gives():
    dataset = audio_dataset()
    stream = open_source(dataset.to_iterable_dataset(num_shards=2))
    assert list(stream.items()) == list(open_source(dataset).items())
    assert list(stream.items(4)) == list(open_source(dataset).items(4))
    assert (stream.kind, stream.length) == ("stream", None)


def test_columns_are_chosen_by_name_and_their_values_turned_to_text():
    dataset = audio_dataset(count=2).rename_column("audio", "sound").add_column("hz", [440, None])
    assert labels(open_source(dataset, audio_column="sound", label_column="hz")) == ["440", None]
    for data in (dataset, dataset.to_iterable_dataset()):
        with pytest.raises(ValueError, match="no column 'audio'; the columns are sound, label, hz"):
            open_source(data)
        with pytest.raises(ValueError, match="no column 'kind'; the columns are sound, label, hz"):
            open_source(data, audio_column="sound", label_column="kind")


def test_unlabelled_rows_and_several_labels():
    names = datasets.ClassLabel(names=["dog", "rain"])
    columns = {"audio": [{"bytes": CLIP, "path": None}] * 2, "label": [-1, None], "labels": [[0, 1], []]}
    dataset = with_audio(columns, label=names, labels=datasets.List(names))
    assert labels(open_source(dataset)) == [None, None]
    assert labels(open_source(dataset, label_column="labels")) == ["dog, rain", ""]


def test_a_dataset_of_plain_waveforms_needs_no_audio_feature():
    waveform = sound(0.1, 8000).tolist()
    rows = {"audio": [{"array": waveform, "sampling_rate": 8000}] * 2}
    for data in (
        datasets.Dataset.from_dict(rows),
        datasets.Dataset.from_dict(rows).with_format("torch"),
        datasets.IterableDataset.from_generator(lambda: iter([{"audio": rows["audio"][0]}] * 2)),
    ):
        items = list(open_source(data).items())
        assert [len(load(item.audio, RATE).samples) for item in items] == [1600, 1600]
    stream = datasets.IterableDataset.from_generator(lambda: iter([{"sound": waveform}]))
    with pytest.raises(ValueError, match="no column 'audio'; the columns are sound"):
        list(open_source(stream).items())


def test_a_dict_of_splits_needs_one_of_them_named():
    parts = {"train": audio_dataset(3), "test": audio_dataset(2)}
    streams = {name: part.to_iterable_dataset() for name, part in parts.items()}
    for data in (datasets.DatasetDict(parts), datasets.IterableDatasetDict(streams)):
        with pytest.raises(ValueError, match="several splits: choose with split=; they are train, test"):
            open_source(data)
        with pytest.raises(ValueError, match="no split 'valid'; they are train, test"):
            open_source(data, split="valid")
        assert len(list(open_source(data, split="test").items())) == 2
    assert open_source(datasets.DatasetDict({"train": parts["train"]})).length == 3


def test_a_saved_dataset_is_read_from_its_folder(tmp_path: Path):
    dataset = audio_dataset()
    dataset.save_to_disk(tmp_path / "one")
    datasets.DatasetDict({"train": dataset, "test": audio_dataset(2)}).save_to_disk(tmp_path / "two")
    assert labels(open_source(tmp_path / "one")) == ["dog", "rain"] * 3
    assert open_source(tmp_path / "two", split="test").length == 2
    with pytest.raises(ValueError, match="they are train, test"):
        open_source(tmp_path / "two")


def test_a_hub_id_is_streamed(hub: list[tuple]):
    source = open_source("org/sounds:small", split="train")
    items = list(source.items())
    assert [item.id for item in items] == [0, 1, 2, 3, 4]
    assert load(items[1].audio, RATE).source_rate == 8000
    assert (source.kind, source.name, source.split, source.length) == ("stream", "org/sounds:small", "train", None)
    assert hub == [("org/sounds", "small")]
    assert [item.id for item in source.items(3)] == [3, 4]


def test_a_hub_id_with_one_split_needs_no_choice(hub: list[tuple]):
    assert len(list(open_source("org/one-split").items())) == 2
    with pytest.raises(ValueError, match="sounds has several splits: choose with split=; they are train, test"):
        open_source("sounds")
    with pytest.raises(ValueError, match="no split 'valid'; they are train, test"):
        open_source("sounds", split="valid")
    assert hub == [("org/one-split", None), ("sounds", None), ("sounds", None)]


@pytest.mark.parametrize(
    "error",
    [ConnectionError("Couldn't reach the hub\nlong story"), FileNotFoundError("doesn't exist"), ValueError("x")],
)
def test_a_hub_that_does_not_answer_is_one_clear_sentence(error: Exception, monkeypatch: pytest.MonkeyPatch):
    def fail(*arguments: object):
        raise error

    monkeypatch.setattr(datasets, "load_dataset_builder", fail)
    with pytest.raises(
        ValueError, match="'org/none' is no file or folder here, and the hub does not give it"
    ) as caught:
        open_source("org/none")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("data", ["gone.wav", "./gone", "/gone/away", "a/b/c", "with space", "~/gone", "../gone", ""])
def test_a_mistyped_path_is_not_looked_for_on_the_hub(data: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(datasets, "load_dataset_builder", lambda *_: pytest.fail("asked the hub"))
    if data == "":
        data = "no such folder/"
    with pytest.raises(ValueError, match="no such file or folder"):
        open_source(data)


def test_a_file_on_the_hub_is_fetched_where_it_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    address = "hf://datasets/org/sounds/a.wav"
    (tmp_path / "a.wav").write_bytes(CLIP)
    [item] = open_source(with_audio({"audio": [{"bytes": None, "path": address}]})).items()
    assert item.path == address
    assert item.audio == items_module.RemoteFile(address)
    from datasets.utils import file_utils

    monkeypatch.setattr(file_utils, "xopen", lambda path, mode: (tmp_path / Path(path).name).open(mode))
    assert len(load(item.audio, RATE).samples) == 1600


def test_streams_whose_rows_are_python_values_need_no_codec_library(tmp_path: Path):
    (tmp_path / "a.wav").write_bytes(CLIP)
    rows = [
        {"audio": {"bytes": CLIP, "path": "x.wav"}, "label": "bytes"},
        {"audio": str(tmp_path / "a.wav"), "label": "path"},
        {"audio": {"array": np.linspace(-0.5, 0.5, 800), "sampling_rate": 16_000}, "label": "array"},
    ]
    features = datasets.Features({"audio": datasets.Audio(), "label": datasets.Value("string")})
    stream = datasets.IterableDataset.from_generator(lambda: iter(rows), features=features)
    items = list(open_source(stream).items())
    assert [item.label for item in items] == ["bytes", "path", "array"]
    assert [len(load(item.audio, 16_000).samples) > 0 for item in items] == [True] * 3
    np.testing.assert_allclose(load(items[2].audio, 16_000).samples, np.linspace(-0.5, 0.5, 800), atol=1e-6)
