"""Clips in the shapes in which people have them: rows of tables, tuples, loaders, open files."""

from __future__ import annotations

import io
import re
from collections import namedtuple
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas
import pyarrow
import pytest
import soundfile
import torch
from torch.utils.data import DataLoader, IterableDataset, Subset, SubsetRandomSampler, TensorDataset
from torch.utils.data import Dataset as TorchDataset

from and_nnsight.audio.loading import to_waveform
from and_nnsight.data import UNKNOWN, Batch, Clip, batches, open_source
from tests.damaged import encode, sound

RATE, HALF = 16_000, 8_000
WAVE = sound(0.1, HALF)  # 800 samples, which are 1,600 at the wanted rate
FILE = encode(sound(0.1, RATE), RATE)

Row = namedtuple("Row", "audio sampling_rate label")
Waveform = namedtuple("Waveform", "waveform sample_rate label")


def lengths(waveforms: Any) -> list[int]:
    return [len(waveform) for waveform in waveforms]


def read(data: Any, workers: int = 0, **options: Any) -> list[Batch[list[int]]]:
    source = open_source(data, **options)
    return list(batches(source, sampling_rate=RATE, featurise=lengths, batch_size=4, num_workers=workers))


def clips(data: Any, **options: Any) -> list[Clip]:
    read_ones = read(data, **options)
    assert not [row for batch in read_ones for row in batch.quarantined]
    return [clip for batch in read_ones for clip in batch.clips]


class Sounds(TorchDataset[Any]):
    """A map-style torch dataset."""

    def __init__(self, make: Callable[[int], Any], count: int = 6) -> None:
        self.make, self.count = make, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Any:
        return self.make(index)


class Stream(IterableDataset[Any]):
    """An iterable torch dataset that knows its length, which does not make it a sequence."""

    def __len__(self) -> int:
        return 3

    def __iter__(self) -> Iterator[Any]:
        return iter([row(index) for index in range(3)])


def tone(index: int) -> torch.Tensor:
    return torch.from_numpy(sound(0.1, HALF, seed=index))


def row(index: int) -> dict[str, Any]:
    return {"audio": tone(index), "label": torch.tensor(index), "sampling_rate": HALF}


# -- rates -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "rate", [HALF, float(HALF), np.int64(HALF), np.array(HALF), np.array([HALF]), torch.tensor(HALF), torch.tensor([HALF])]
)  # fmt: skip
@pytest.mark.parametrize("key", ["sampling_rate", "sample_rate", "sr"])
def test_a_rate_beside_a_waveform_counts(rate: Any, key: str) -> None:
    rows = [{"audio": WAVE, key: rate}, {"array": WAVE, key: rate}, {"audio": {"array": WAVE, key: rate}}]
    for batch in read(rows):
        assert batch.inputs == [1600] * 3
        assert {clip.sampling_rate for clip in batch.clips} == {HALF}


@pytest.mark.parametrize("rate", [0, -8000, 0.5, "fast"])
def test_a_rate_that_is_none_sets_the_clip_aside(rate: Any) -> None:
    (batch,) = read([{"audio": WAVE, "sampling_rate": rate}])
    assert "must be a whole number of samples a second" in batch.quarantined[0].reason


def test_a_rate_column_counts_in_every_kind_of_table() -> None:
    rows = [{"audio": WAVE.tolist(), "sampling_rate": HALF, "label": 3, "path": "x.wav"}] * 2
    dataset = datasets.Dataset.from_list(rows)
    table = pandas.DataFrame(rows)
    for data in (
        rows,
        dataset,
        dataset.with_format("torch"),
        dataset.with_format("numpy"),
        dataset.to_iterable_dataset(),
        datasets.IterableDataset.from_generator(lambda: iter(rows)),
        DataLoader(dataset.with_format("torch"), batch_size=2),  # type: ignore[arg-type]
        table,
        [series for _, series in table.iterrows()],
        list(table.itertuples()),
    ):
        assert [(clip.seconds, clip.sampling_rate, clip.label, clip.path) for clip in clips(data)] == [
            (0.1, HALF, "3", "x.wav")
        ] * 2


# -- tuples and objects ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "pair",
    [(WAVE, HALF), [WAVE, HALF], (HALF, WAVE), (WAVE.tolist(), np.int32(HALF)), (torch.from_numpy(WAVE)[None], HALF)],
)
def test_waveform_and_rate(pair: Any) -> None:
    (clip,) = clips([pair])
    assert (clip.seconds, clip.sampling_rate) == (0.1, HALF)
    (clip,) = clips([{"audio": pair, "label": "a"}])
    assert (clip.seconds, clip.sampling_rate, clip.label) == (0.1, HALF, "a")
    with pytest.raises(ValueError, match="a single clip .*: put it in a list"):
        open_source(pair)


def test_tuples_with_a_label(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(FILE)
    path = tmp_path / "a.wav"
    data = [(WAVE, HALF, "dog", 7), Row(WAVE, HALF, "dog"), Waveform(WAVE, HALF, "dog"), (path, "dog"), (FILE, "dog")]
    assert [(clip.label, clip.seconds) for clip in clips(data)] == [("dog", 0.1)] * 5
    assert [clip.label for clip in clips([(str(path), 3), (path, np.int64(4)), (WAVE, "cat")])] == ["3", "4", "cat"]


@pytest.mark.parametrize(
    "data", [[(WAVE, 3)], Sounds(lambda i: (tone(i), i)), TensorDataset(tone(0)[None], torch.arange(1))]
)
def test_a_waveform_with_a_number_that_is_no_rate_says_what_to_give(data: Any) -> None:
    with pytest.raises(ValueError, match=r"clip 0 is a waveform with \d beside it, .*: give \(waveform, rate\)"):
        read(data)


def test_open_files_are_read_as_often_as_they_are_asked_for(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(FILE)
    with (tmp_path / "a.wav").open("rb") as file:
        data = [io.BytesIO(FILE), file, {"audio": io.BytesIO(FILE), "label": 1}]
        assert open_source(data).fingerprint == open_source(data).fingerprint != "unknown"
        for workers in (0, 1):
            assert [clip.seconds for clip in clips(data, workers=workers)] == [0.1] * 3
    (batch,) = read([file, io.StringIO("a"), b""])
    assert [aside.reason.split(":")[0] for aside in batch.quarantined] == [
        "an open file that cannot be read", "a file that was opened as text", "holds no bytes",
    ]  # fmt: skip
    with pytest.raises(ValueError, match="a single clip"):
        open_source(io.BytesIO(FILE))


def test_arrays_of_objects_are_many_clips_and_known_by_all_of_their_content() -> None:
    long = sound(1.0, RATE)
    other = long.copy()
    other[8000] += 0.1  # in the middle, where numpy's own text of an array has dots
    one, two = (np.array([wave, WAVE], dtype=object) for wave in (long, other))
    assert len(clips(one)) == 2
    assert open_source(one).fingerprint != open_source(two).fingerprint
    assert open_source(np.array(["a.wav", "b.wav"])).length == 2


def test_webdataset_rows_are_read_by_the_names_of_their_parts() -> None:
    row = {"__key__": "s/1", "__url__": "a.tar", "wav": FILE, "cls": b"3", "txt": "a d\xf6g".encode()}
    (clip,) = clips([row], audio_column="wav", label_column="cls", caption_column="txt")
    assert (clip.label, clip.caption, clip.path) == ("3", "a d\xf6g", "s/1")
    with pytest.raises(ValueError, match="clip 0 has no 'audio'; its keys are __key__, .*audio_column="):
        read([row])


def test_what_is_wrong_with_a_later_clip_sets_that_clip_aside() -> None:
    (batch,) = read([{"audio": WAVE}, {"sound": WAVE}, (WAVE, 3), {"audio": None}])
    assert [aside.clip for aside in batch.quarantined] == [1, 2, 3]
    assert "clip 1 has no 'audio'; its keys are sound" in batch.quarantined[0].reason


# -- labels and text ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("label", "reads"),
    [
        (torch.tensor(3), "3"),
        (torch.tensor([3]), "3"),
        (np.int64(3), "3"),
        (np.array(3), "3"),
        (np.float64(0.5), "0.5"),
        (torch.tensor([1, 2]), "1, 2"),
        ([np.int64(1), torch.tensor(2)], "1, 2"),
        (np.array(["a", "b"]), "a, b"),
        (b"dog", "dog"),
        ({"b", "a", "c"}, "a, b, c"),
        (np.str_("dog"), "dog"),
        (float("nan"), None),
        (pandas.NA, None),
        (pandas.NaT, None),
        (None, None),
    ],
)
def test_labels_read_as_what_they_say(label: Any, reads: str | None) -> None:
    data = [{"audio": WAVE, "label": label}]
    assert clips(data)[0].label == reads
    assert open_source(data).fingerprint == open_source(data).fingerprint != "unknown"


def test_class_labels_have_their_names_and_numbers_without_one_stay_numbers() -> None:
    rows = {"audio": [FILE] * 3, "label": [0, 1, -1]}
    named = datasets.Dataset.from_dict(rows).cast_column("label", datasets.ClassLabel(names=["dog", "rain"]))
    assert [clip.label for clip in clips(named)] == ["dog", "rain", None]
    tensors = named.with_transform(lambda batch: {**batch, "label": [torch.tensor(value) for value in batch["label"]]})
    assert [clip.label for clip in clips(tensors)] == ["dog", "rain", None]
    odd = named.with_transform(lambda batch: {**batch, "label": [7 for _ in batch["label"]]})
    assert [clip.label for clip in clips(odd)] == ["7"] * 3


def test_text_that_is_no_unicode_becomes_some() -> None:
    halves = {"audio": WAVE, "label": "a\ud83d", "caption": "\ud83d\ude00\x00\u2028\x85", "path": "\udcff\ud83d.wav"}
    (clip,) = clips([halves])
    assert (clip.label, clip.caption, clip.path) == ("a\ufffd", "\U0001f600\x00\u2028\x85", "\\udcff\\ud83d.wav")
    for words in (clip.label, clip.caption, clip.path):
        assert words is not None and words.encode("utf-8")


# -- loaders and batches -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("batch_size", [1, 4, None])
def test_a_loader_stands_for_its_dataset(batch_size: int | None, shuffle: bool) -> None:
    loader = DataLoader(Sounds(row), batch_size=batch_size, shuffle=shuffle)
    assert [clip.label for clip in clips(loader)] == [str(index) for index in range(6)]
    assert {clip.seconds for clip in clips(loader)} == {0.1}


def test_loaders_of_tuples_streams_subsets_and_ragged_clips() -> None:
    tuples = Sounds(lambda index: (tone(index)[None], HALF, f"dog {index}"), 3)
    assert [clip.label for clip in clips(DataLoader(tuples, batch_size=2))] == ["dog 0", "dog 1", "dog 2"]
    assert [clip.label for clip in clips(DataLoader(Stream(), batch_size=2))] == ["0", "1", "2"]
    assert [clip.label for clip in clips(Stream())] == ["0", "1", "2"]
    assert [clip.label for clip in clips(DataLoader(Subset(Sounds(row), [4, 1])))] == ["4", "1"]
    ragged = Sounds(lambda index: {"audio": tone(index)[index:], "sampling_rate": HALF}, 3)
    assert [round(clip.seconds * HALF) for clip in clips(DataLoader(ragged, batch_size=3))] == [800, 799, 798]


def test_loaders_that_change_their_clips_are_refused_with_what_to_pass() -> None:
    sounds = Sounds(row)
    with pytest.raises(ValueError, match=r"collate_fn of its own, .*: pass its dataset \(loader.dataset\)"):
        open_source(DataLoader(sounds, collate_fn=lambda clips: clips))
    for options in ({"sampler": SubsetRandomSampler([1, 2])}, {"batch_sampler": [[0, 1]]}):
        with pytest.raises(ValueError, match=r"leave clips out or repeat them: pass loader.dataset, or .*Subset"):
            open_source(DataLoader(sounds, **options))  # type: ignore[arg-type]


def batched(make: Callable[[int], Any], size: int) -> Any:
    return iter(DataLoader(Sounds(make), batch_size=size))


@pytest.mark.parametrize(
    "data",
    [
        batched(row, 4),
        batched(row, 2),
        batched(lambda index: (tone(index)[None], HALF, "dog"), 4),
        batched(lambda index: (tone(index), index), 4),
        batched(lambda index: {"audio": {"array": tone(index), "sampling_rate": HALF}, "label": index}, 4),
        batched(lambda index: {"audio": tone(index), "label": f"dog {index}"}, 4),
        batched(lambda index: {"audio": tone(index), "label": f"dog {index}"}, 2),
        batched(lambda index: f"{index}.wav", 4),
        [[row(0), row(1)]],
        [{"audio": [WAVE, WAVE[1:]], "label": [0, 1]}],
        [{"audio": [{"bytes": FILE}, {"bytes": FILE}]}],
        datasets.Dataset.from_list([{"audio": WAVE.tolist(), "label": 0}] * 4).iter(2),
    ],
)
def test_batches_are_refused_and_not_heard_as_channels(data: Any) -> None:
    with pytest.raises(ValueError, match=r"clip 0 is a batch of \d clips: give them one by one, .*the dataset"):
        read(data)


def test_a_batched_dataset_is_refused() -> None:
    dataset = datasets.Dataset.from_list([{"audio": WAVE.tolist(), "sampling_rate": HALF}] * 4)
    with pytest.raises(ValueError, match="clip 0 is a batch of 4 clips"):
        read(dataset.with_transform(lambda rows: {name: [values * 4] for name, values in rows.items()}))


def test_channels_are_no_batch() -> None:
    stereo = np.stack([WAVE, WAVE])
    for audio in (stereo, stereo.T, torch.from_numpy(stereo), stereo.tolist()):
        data = [{"audio": WAVE, "label": "a"}, {"audio": audio, "label": ["dog", "bark"]}, {"audio": audio, "label": 1}]
        assert [clip.seconds for clip in clips(data)] == [0.05] * 3
    data = [{"audio": stereo, "label": ["dog", "bark"], "path": "a.wav"}]
    assert clips(data)[0].label == "dog, bark"
    with pytest.warns(UserWarning, match="clip 0 has 4 channels, which are mixed into one: if they are clips"):
        clips([np.stack([WAVE] * 4)])


def test_columns_are_no_rows() -> None:
    with pytest.raises(ValueError, match="a dict of columns: give rows, for example datasets.Dataset.from_dict"):
        open_source({"audio": [WAVE, WAVE], "label": [1, 2]})


# -- transforms --------------------------------------------------------------------------------------------------------


def encoded() -> datasets.Dataset:
    return datasets.Dataset.from_list([{"file": FILE, "label": index, "more": "x"} for index in range(3)])


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
    for data in (dataset, datasets.DatasetDict({"train": dataset}), dataset.select([0, 1, 2]), DataLoader(dataset)):  # type: ignore[arg-type]
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
    stored = datasets.Dataset.from_list([{"audio": {"bytes": FILE, "path": None}}]).cast_column(
        "audio", datasets.Audio()
    )
    assert len(clips(stored)) == 1
    with pytest.raises(ValueError, match=r"install 'torchcodec'.*or cast the column to Audio\(decode=False\)"):
        read(stored.with_transform(lambda rows: rows))


# -- what can go wrong with one of many --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("odd", "reason"),
    [
        (torch.zeros(800, device="meta"), "a tensor whose values cannot be read: Cannot copy out of meta tensor"),
        (torch.complex(torch.ones(800), torch.ones(800)).conj(), "complex64 is not audio"),
        (np.zeros(800, "M8[s]"), r"datetime64\[s\] is not audio"),
        (np.zeros(800, [("left", "f4"), ("right", "O")]), r"records \(left, right; .*\) is not audio"),
        ([0.1, None, 10**5_000], r"an array of objects \(.*\) is not audio"),
        ("https://example.org/a.wav", "an address, and those are not fetched"),
        ("x" * 5_000 + ".wav", "File name too long"),
    ],
    ids=["meta", "complex", "dates", "structured", "objects", "address", "long"],
)
@pytest.mark.parametrize("workers", [0, 1])
def test_one_value_that_is_no_audio_ends_nothing(odd: Any, reason: str, workers: int) -> None:
    (batch,) = read([WAVE, odd, WAVE], workers)
    assert batch.inputs == [800, 800]
    assert [row.clip for row in batch.quarantined] == [1]
    assert re.search(reason, batch.quarantined[0].reason)


@pytest.mark.parametrize(
    "kind", ["sparse", "float8_e5m2", "float8_e4m3fn", "negated", "quantised", "big-endian", "long double"]
)
@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
def test_values_of_any_layout_and_type_are_heard(kind: str) -> None:
    wave = torch.from_numpy((WAVE * 8).round() / 8)  # what every type holds
    wave = {
        "sparse": wave.to_sparse,
        "float8_e5m2": lambda: wave.to(torch.float8_e5m2),
        "float8_e4m3fn": lambda: wave.to(torch.float8_e4m3fn),
        "negated": lambda: torch._neg_view(-wave),
        "quantised": lambda: torch.quantize_per_tensor(wave, 0.125, 0, torch.qint8),
        "big-endian": lambda: wave.numpy().astype(">f4"),
        "long double": lambda: wave.numpy().astype(np.longdouble),
    }[kind]()
    source = open_source([wave])
    assert source.fingerprint != UNKNOWN
    (item,) = source.items()
    assert np.array_equal(to_waveform(item.audio, RATE), (WAVE * 8).round() / 8)


def test_a_nested_tensor_is_refused_with_what_to_give() -> None:
    with pytest.warns(UserWarning, match="nested"):
        nested = torch.nested.nested_tensor([torch.zeros(3), torch.zeros(4)])
    with pytest.raises(ValueError, match=r"clip 0 is a nested tensor: give its parts one by one \(tensor\.unbind"):
        read([nested])
    assert [row.clip for row in read([WAVE, nested, WAVE])[0].quarantined] == [1]


def test_words_that_cannot_be_written_end_nothing() -> None:
    class Silent:
        def __str__(self) -> str:
            raise RuntimeError("no words")

    wordless = clips([{"audio": WAVE, "label": Silent(), "caption": 10**5_000}])
    assert [(clip.label, clip.caption) for clip in wordless] == [
        ("a Silent that cannot be written", "an int that cannot be written")
    ]


@pytest.mark.parametrize("error", [soundfile.LibsndfileError(1, "x"), OSError("gone"), ValueError("bad"), EOFError()])
def test_a_clip_that_its_dataset_cannot_load_is_set_aside(error: Exception) -> None:
    def load(index: int) -> Any:
        if index == 0 or index == 3:
            raise error
        return WAVE

    (first, second) = read(Sounds(load))
    assert [row.clip for row in first.quarantined] == [0, 3]
    assert f"its dataset cannot load it: {type(error).__name__}" in first.quarantined[0].reason
    assert [len(batch.clips) for batch in (first, second)] == [2, 2]


def test_a_clip_that_a_transform_cannot_load_is_set_aside() -> None:
    def read_them(rows: dict[str, list[Any]]) -> dict[str, list[Any]]:
        return {"audio": [soundfile.read(io.BytesIO(file))[0] for file in rows["file"]]}

    dataset = datasets.Dataset.from_list([{"file": FILE}, {"file": b"no sound"}, {"file": FILE}])
    (batch,) = read(dataset.with_transform(read_them))
    assert [clip.id for clip in batch.clips] == [0, 2]
    assert "its dataset cannot load it: LibsndfileError" in batch.quarantined[0].reason


@pytest.mark.parametrize("data", ["generator", "sequence", "transform"])
def test_a_mistake_in_a_dataset_is_raised_with_the_place(data: str) -> None:
    def fail(*_: Any) -> Any:
        raise KeyError("nope")

    dataset = {
        "generator": lambda: (fail() for _ in range(2)),
        "sequence": lambda: Sounds(fail),
        "transform": lambda: encoded().with_transform(fail),
    }[data]()
    with pytest.raises(KeyError, match="nope") as caught:
        read(dataset)
    assert "while reading the clips from 0 on" in caught.value.__notes__


def test_tables_of_arrow_are_tables() -> None:
    rows = [{"audio": FILE, "label": "one"}, {"audio": FILE, "label": "two"}]
    assert [clip.label for clip in clips(pyarrow.Table.from_pylist(rows))] == ["one", "two"]
    assert len(clips(pyarrow.array([FILE, FILE]))) == 2


@pytest.mark.parametrize("name", ["x" * 5_000, "~nobody-of-this-name/data", "\ud83d.wav", "a\0b.wav"])
def test_a_name_that_no_file_has_is_one_sentence(name: str) -> None:
    with pytest.raises(ValueError, match=r"no such file or folder|is no file or folder here") as caught:
        open_source(name)
    caught.value.args[0].encode()
