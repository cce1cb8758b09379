from __future__ import annotations

import json
import os
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch

from and_nnsight.audio.loading import AudioError, load
from and_nnsight.data import Item, Source, open_source
from and_nnsight.data import items as items_module
from tests.damaged import encode, sound, write_damaged_folder

RATE = 16000
CLIP = encode(sound(0.1, RATE), RATE)


@dataclass
class Sound:
    waveform: np.ndarray
    sampling_rate: int
    label: str
    caption: str


def folder(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(CLIP)
    return root


def paths(source: Source, root: Path) -> list[str]:
    return [Path(item.path or "").relative_to(root).as_posix() for item in source.items()]


def labels(source: Source) -> list[str | None]:
    return [item.label for item in source.items()]


def audio_dataset(count: int = 6, **columns: list) -> datasets.Dataset:
    """As the hub stores one: encoded bytes beside their file names."""
    clips = [{"bytes": encode(sound(0.1, 8000, seed=i), 8000), "path": f"{i}.wav"} for i in range(count)]
    columns = {"audio": clips, "label": [i % 2 for i in range(count)], **columns}
    return with_audio(columns, label=datasets.ClassLabel(names=["dog", "rain"]))


def with_audio(columns: dict[str, list], **features: object) -> datasets.Dataset:
    """A dataset whose "audio" is an Audio column: cast to one, since encoding one asks for torchcodec."""
    stored = {"audio": {"bytes": datasets.Value("binary"), "path": datasets.Value("string")}, **features}
    stored |= {name: datasets.Value("string") for name in columns if name not in stored}
    dataset = datasets.Dataset.from_dict(columns, features=datasets.Features(stored))
    return dataset.cast_column("audio", datasets.Audio())


# -- folders -----------------------------------------------------------------------------------------------------------


def test_a_folder_is_read_in_the_order_of_its_posix_paths(tmp_path: Path):
    folder(tmp_path, "b/2.wav", "b/10.wav", "a.wav", "B.WAV", "b.flac", "b/c/d/e.mp3", "z.ogg", "z.opus", "z.aiff")
    (tmp_path / "notes.txt").write_text("no audio")
    source = open_source(tmp_path)
    expected = ["B.WAV", "a.wav", "b.flac", "b/10.wav", "b/2.wav", "b/c/d/e.mp3", "z.aiff", "z.ogg", "z.opus"]
    assert paths(source, tmp_path) == expected
    assert [item.id for item in source.items()] == list(range(9))
    assert (source.kind, source.name, source.split, source.length) == ("folder", str(tmp_path), None, 9)
    assert isinstance(source, Source)


def test_the_order_does_not_depend_on_the_file_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder(tmp_path, "a/1.wav", "a/2.wav", "b/1.wav", "c.wav")
    expected = paths(open_source(tmp_path), tmp_path)
    scandir = os.scandir

    monkeypatch.setattr(os, "scandir", lambda folder: sorted(scandir(folder), key=lambda entry: entry.name)[::-1])
    assert paths(open_source(tmp_path), tmp_path) == expected


def test_without_metadata_a_clip_is_labelled_by_its_folder(tmp_path: Path):
    folder(tmp_path, "dog/1.wav", "animals/cat/2.wav", "3.wav")
    assert dict(zip(paths(s := open_source(tmp_path), tmp_path), labels(s), strict=True)) == {
        "3.wav": None,
        "animals/cat/2.wav": "cat",
        "dog/1.wav": "dog",
    }


def test_hidden_files_are_left_out_and_links_followed_once(tmp_path: Path):
    folder(tmp_path / "set", "a.wav", "._a.wav", ".cache/b.wav", "sub/c.wav")
    folder(tmp_path / "elsewhere", "d.wav")
    (tmp_path / "set" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "set" / "sub" / "loop").symlink_to(tmp_path / "set")
    assert paths(open_source(tmp_path / "set"), tmp_path / "set") == ["a.wav", "linked/d.wav", "sub/c.wav"]


def test_paths_are_absolute_and_open_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder(tmp_path / "set", "a.wav")
    monkeypatch.chdir(tmp_path)
    source = open_source("set")
    monkeypatch.chdir("/")
    [item] = source.items()
    assert item.path == str(tmp_path / "set" / "a.wav")
    assert len(load(item.audio, RATE).samples) == 1600
    assert source.name == "set"


def test_a_folder_without_audio_says_what_it_holds(tmp_path: Path):
    with pytest.raises(ValueError, match=r"holds no audio .* it holds nothing"):
        open_source(tmp_path)
    (tmp_path / "a.m4a").write_bytes(b"x")
    (tmp_path / "b.m4a").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"it holds 2 × \.m4a"):
        open_source(tmp_path)


def test_metadata_decides_order_rows_and_words(tmp_path: Path):
    folder(tmp_path, "a.wav", "b.wav", "sub/c.wav", "unlisted.wav")
    (tmp_path / "metadata.csv").write_text(
        "\ufefffile_name,label,caption,category\n"
        'sub/c.wav,dog,"a dog, barking",animal\n./a.wav,,,weather\nb.wav,3,rain,\n',
        encoding="utf-8",
    )
    source = open_source(tmp_path)
    assert paths(source, tmp_path) == ["sub/c.wav", "a.wav", "b.wav"]
    assert labels(source) == ["dog", None, "3"]
    assert [item.caption for item in source.items()] == ["a dog, barking", None, "rain"]
    assert labels(open_source(tmp_path, label_column="category")) == ["animal", "weather", None]
    assert [item.caption for item in open_source(tmp_path, caption_column="label").items()] == ["dog", None, "3"]


def test_metadata_may_be_json_lines(tmp_path: Path):
    folder(tmp_path, "a.wav", "b.wav")
    rows = [{"file_name": "b.wav", "label": 7}, {"file_name": "a.wav", "caption": "ünïcode\u2028here"}]
    content = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n\n"
    (tmp_path / "metadata.jsonl").write_text(content, encoding="utf-8")
    source = open_source(tmp_path)
    assert paths(source, tmp_path) == ["b.wav", "a.wav"]
    assert [(item.label, item.caption) for item in source.items()] == [("7", None), (None, "ünïcode\u2028here")]


def test_a_missing_file_of_the_metadata_is_a_clip_that_fails_later(tmp_path: Path):
    folder(tmp_path, "a.wav")
    (tmp_path / "metadata.csv").write_text("file_name\ngone.wav\na.wav\n")
    gone, there = open_source(tmp_path).items()
    with pytest.raises(AudioError, match=r"gone\.wav: no such file"):
        load(gone.audio, RATE)
    assert there.id == 1


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("metadata.csv", "file_name\n../../etc/passwd\n", r"row 1: '\.\./\.\./etc/passwd' lies outside of the folder"),
        ("metadata.csv", "file_name\na.wav\n/etc/passwd\n", "row 2: '/etc/passwd' lies outside"),
        ("metadata.jsonl", '{"file_name": "C:\\\\windows\\\\a.wav"}', "row 1: .* lies outside"),
        ("metadata.csv", "file,label\na.wav,dog\n", "row 1: no file_name; the columns are file, label"),
        ("metadata.csv", "file_name\n", "has no rows"),
        ("metadata.csv", "", "has no rows"),
        ("metadata.jsonl", '{"file_name": "a.wav"}\n{"file_name": ', "row 2: cannot be read"),
        ("metadata.jsonl", "[1, 2]", "row 1: cannot be read: not a JSON object"),
    ],
)
def test_metadata_that_is_wrong_is_refused_with_its_row(tmp_path: Path, name: str, content: str, message: str):
    folder(tmp_path, "a.wav")
    (tmp_path / name).write_bytes(content.encode("latin-1"))
    with pytest.raises(ValueError, match=message):
        open_source(tmp_path)


def test_two_metadata_files_are_one_too_many(tmp_path: Path):
    for name in ("metadata.csv", "metadata.jsonl"):
        (tmp_path / name).write_text("file_name\n")
    with pytest.raises(ValueError, match="holds both"):
        open_source(tmp_path)


def test_a_column_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path):
    folder(tmp_path, "a.wav")
    with pytest.raises(ValueError, match=r"no column 'category': .* has no metadata"):
        open_source(tmp_path, label_column="category")
    (tmp_path / "metadata.csv").write_text("file_name,class\na.wav,dog\n")
    with pytest.raises(ValueError, match=r"no column 'category' in .*; the columns are file_name, class"):
        open_source(tmp_path, label_column="category")


def test_a_single_file_is_a_source_of_one_clip(tmp_path: Path):
    path = folder(tmp_path, "a.wav") / "a.wav"
    for data in (path, str(path)):
        source = open_source(data)
        assert list(source.items()) == [Item(0, str(path), str(path))]
        assert list(source.items(1)) == []
        assert (source.kind, source.length) == ("file", 1)


# -- datasets ----------------------------------------------------------------------------------------------------------


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


# -- the hub, as far as it goes without one ----------------------------------------------------------------------------


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple]:
    """The dataset library's own streaming, from local parquet files; gives the arguments it was called with."""
    files = {}
    for split, count in {"train": 5, "test": 2}.items():
        files[split] = str(tmp_path / f"{split}.parquet")
        audio_dataset(count).to_parquet(files[split])
    real, calls = datasets.load_dataset_builder, []

    def builder(name: str, config: str | None = None):
        calls.append((name, config))
        if name == "org/one-split":
            return real("parquet", data_files={"test": files["test"]}, cache_dir=str(tmp_path / "cache"))
        return real("parquet", data_files=files, cache_dir=str(tmp_path / "cache"))

    monkeypatch.setattr(datasets, "load_dataset_builder", builder)
    return calls


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


# -- Python values -----------------------------------------------------------------------------------------------------


def test_a_list_may_mix_every_kind_of_clip(tmp_path: Path):
    path = folder(tmp_path, "a.wav") / "a.wav"
    waveform = sound(0.1, 8000)
    data = [
        str(path),
        path,
        CLIP,
        torch.from_numpy(waveform),
        {"array": waveform, "sampling_rate": 8000},
        {"audio": waveform, "sampling_rate": 8000, "label": 3, "caption": "a tone", "path": "b.wav"},
        {"audio": {"bytes": CLIP, "path": "c.wav"}, "label": ["dog", "bark"]},
        {"path": str(path), "label": "dog"},
        Sound(waveform, 8000, "tone", "a steady tone"),
        None,
    ]
    items = list(open_source(data).items())
    assert [item.id for item in items] == list(range(10))
    assert [item.path for item in items[:5]] == [str(path), str(path), None, None, None]
    assert items[5] == Item(5, waveform, "b.wav", "3", "a tone", 8000)
    assert (items[6].path, items[6].label) == ("c.wav", "dog, bark")
    assert (items[7].path, items[7].label) == (str(path), "dog")
    assert items[8] == Item(8, waveform, None, "tone", "a steady tone", 8000)
    lengths = [len(load(item.audio, RATE, source_rate=item.sampling_rate).samples) for item in items[:9]]
    assert lengths == [1600, 1600, 1600, 800, 1600, 1600, 1600, 1600, 1600]


def test_columns_of_dicts_and_objects_are_chosen_by_name():
    rows = [{"sound": CLIP, "class": "dog"}, {"sound": CLIP}]
    assert labels(open_source(rows, audio_column="sound", label_column="class")) == ["dog", None]
    with pytest.raises(ValueError, match="no key 'kind' in the first clip; its keys are sound, class"):
        list(open_source(rows, audio_column="sound", label_column="kind").items())
    assert labels(open_source([Sound(sound(0.1, RATE), RATE, "a", "b")], label_column="caption")) == ["b"]


class Lazy:
    """A map-style torch dataset: its clips are made on access."""

    def __len__(self):
        return 5

    def __getitem__(self, position: int):
        if not 0 <= position < 5:
            raise IndexError(position)
        return np.full(10, position, np.float32)


@pytest.mark.parametrize("data", [Lazy(), np.arange(20.0).reshape(5, 4), torch.zeros(5, 4), [b"x"] * 5, (b"x",) * 5])
def test_sequences_are_read_by_position(data: object):
    source = open_source(data)
    assert (source.kind, source.length) == ("sequence", 5)
    assert [item.id for item in source.items(3)] == [3, 4]
    assert [item.id for item in source.items()] == [0, 1, 2, 3, 4]


def test_a_generator_can_be_read_once_and_skips_by_reading():
    read = []

    def clips():
        for position in range(5):
            read.append(position)
            yield np.full(10, position, np.float32)

    source = open_source(clips(), limit=4)
    assert (source.kind, source.length, source.fingerprint) == ("iterable", None, "unknown")
    assert [item.id for item in source.items(2)] == [2, 3]
    assert read == [0, 1, 2, 3], "not one beyond the limit"
    with pytest.raises(ValueError, match="the generator has been read already"):
        next(source.items())


def test_an_iterable_that_starts_anew_can_be_read_again():
    class Clips:
        def __iter__(self):
            return iter([CLIP, CLIP])

    source = open_source(Clips())
    assert len(list(source.items())) == len(list(source.items())) == 2


@pytest.mark.parametrize("data", [np.zeros(10), torch.zeros(10), [0.0, 1.0], CLIP, {"array": [0.0]}])
def test_a_single_clip_is_not_taken_for_many(data: object):
    with pytest.raises(ValueError, match=r"single clip .*: put it in a list"):
        open_source(data)


def test_other_values_are_refused():
    with pytest.raises(ValueError, match="data is a int; it can be a folder"):
        open_source(3)


# -- what holds for all ------------------------------------------------------------------------------------------------


@pytest.fixture(params=["folder", "metadata", "file", "dataset", "stream", "list", "generator"])
def any_source(request: pytest.FixtureRequest, tmp_path: Path):
    """A function from a limit to a source of five clips (of one, for a file)."""
    folder(tmp_path, *(f"{i}.wav" for i in range(5)))
    if request.param == "metadata":
        (tmp_path / "metadata.csv").write_text("file_name\n4.wav\n3.wav\n2.wav\n1.wav\n0.wav\n")
    data = {
        "folder": lambda: tmp_path,
        "metadata": lambda: tmp_path,
        "file": lambda: tmp_path / "0.wav",
        "dataset": lambda: audio_dataset(5),
        "stream": lambda: audio_dataset(5).to_iterable_dataset(),
        "list": lambda: [CLIP] * 5,
        "generator": lambda: (CLIP for _ in range(5)),
    }[request.param]
    return lambda limit=None: open_source(data(), limit=limit)


def test_reading_from_a_start_gives_the_tail_of_the_whole(any_source):
    whole = list(any_source().items())
    for start in range(7):
        assert list(any_source().items(start)) == whole[start:]


def test_a_limit_cuts_the_head(any_source):
    whole = list(any_source().items())
    for limit in (0, 1, 3, 5, 9):
        assert list(any_source(limit).items()) == whole[:limit]
        assert list(any_source(limit).items(2)) == whole[2:limit]
        assert any_source(limit).length in (None, len(whole[:limit]))
    with pytest.raises(ValueError, match="limit must not be negative"):
        any_source(-1)


def test_a_fingerprint_is_the_same_each_time_and_whatever_the_limit(any_source):
    fingerprint = any_source().fingerprint
    assert fingerprint == any_source().fingerprint == any_source(2).fingerprint
    assert fingerprint == "unknown" or 8 <= len(fingerprint) <= 64


def test_a_split_is_for_datasets(tmp_path: Path):
    folder(tmp_path, "a.wav")
    for data in (tmp_path, tmp_path / "a.wav", [CLIP]):
        with pytest.raises(ValueError, match="has no splits: leave split='train' out"):
            open_source(data, split="train")


def test_a_folders_fingerprint_follows_its_files_and_metadata(tmp_path: Path):
    write_damaged_folder(tmp_path)
    seen = {open_source(tmp_path).fingerprint}

    def changed() -> bool:
        fingerprint = open_source(tmp_path).fingerprint
        new = fingerprint not in seen
        seen.add(fingerprint)
        return new

    (tmp_path / "new.wav").write_bytes(CLIP)
    assert changed()
    (tmp_path / "new.wav").write_bytes(CLIP + b"1")
    assert changed()
    os.utime(tmp_path / "new.wav", ns=(0, 0))
    assert changed()
    (tmp_path / "new.wav").rename(tmp_path / "newer.wav")
    assert changed()
    (tmp_path / "metadata.csv").write_text("file_name,label\nnewer.wav,a\n")
    assert changed()
    (tmp_path / "metadata.csv").write_text("file_name,label\nnewer.wav,b\n")
    assert changed()
    (tmp_path / "newer.wav").unlink()
    assert changed()
    assert not changed()


def test_a_lists_fingerprint_follows_its_content(tmp_path: Path):
    path = folder(tmp_path, "a.wav") / "a.wav"
    waveform = sound(0.1, RATE)
    lists = [
        [waveform],
        [waveform, waveform],
        [waveform * 2],
        [waveform.astype(np.float64)],
        [torch.from_numpy(waveform).bfloat16()],
        [waveform.reshape(2, -1)],
        [{"audio": waveform, "label": "a"}],
        [{"audio": waveform, "label": "b"}],
        [{"array": waveform, "sampling_rate": 8000}],
        [Sound(waveform, RATE, "a", "b")],
        [Sound(waveform, RATE, "a", "c")],
        [CLIP],
        [str(path)],
        [[0.0, 0.5]],
        [None],
    ]
    fingerprints = [open_source(data).fingerprint for data in lists]
    assert len(set(fingerprints)) == len(lists)
    assert "unknown" not in fingerprints
    assert fingerprints == [open_source(data).fingerprint for data in lists]
    before = open_source([str(path)]).fingerprint
    path.write_bytes(CLIP + b"1")
    assert open_source([str(path)]).fingerprint != before
    assert open_source([object()]).fingerprint == "unknown"
    assert open_source(Lazy()).fingerprint == "unknown"


def test_a_datasets_fingerprint_follows_its_content(hub: list[tuple]):
    dataset = audio_dataset()
    assert open_source(dataset).fingerprint != open_source(dataset.select(range(3))).fingerprint
    assert open_source("a", split="train").fingerprint == open_source("a", split="train").fingerprint
    assert open_source("a", split="train").fingerprint != open_source("b", split="train").fingerprint
    assert open_source(datasets.IterableDataset.from_generator(lambda: iter([]))).fingerprint == "unknown"


@pytest.mark.parametrize("kind", ["text", "audio", "struct"])
def test_files_that_a_dataset_only_names_are_of_its_fingerprint(kind: str, tmp_path: Path):
    folder(tmp_path, "a.wav", "b.wav")
    paths = [str(tmp_path / "a.wav"), str(tmp_path / "b.wav"), "https://example.org/c.wav"]
    values = [{"bytes": None, "path": path} for path in paths] if kind == "struct" else paths

    def fingerprint() -> str:
        dataset = datasets.Dataset.from_dict({"audio": values})
        return open_source(dataset.cast_column("audio", datasets.Audio()) if kind == "audio" else dataset).fingerprint

    before = fingerprint()
    assert fingerprint() == before
    (tmp_path / "b.wav").write_bytes(CLIP + b"1")
    assert fingerprint() != before
    (tmp_path / "b.wav").unlink()
    assert fingerprint() != before


def test_nothing_is_read_before_it_is_asked_for(tmp_path: Path):
    folder(tmp_path, *(f"{i}.wav" for i in range(50)))
    source = open_source(tmp_path)
    for path in tmp_path.iterdir():
        path.unlink()
    assert len(list(islice(source.items(10), 5))) == 5


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


def test_what_was_done_to_a_stream_cannot_be_recognised():
    stream = with_audio({"audio": [{"bytes": CLIP, "path": None}] * 3}).to_iterable_dataset()
    assert {open_source(data).fingerprint for data in (stream, stream.take(2), stream.shuffle(seed=1))} == {"unknown"}
