"""Clips in the shapes in which people have them: a rate beside them, tuples, objects, open files."""

from __future__ import annotations

import io
from collections import namedtuple
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from and_nnsight.data import open_source
from tests.damaged import sound
from tests.data.clips import CLIP, HALF, RATE, WAVE, Sounds, clips, read, tone

Row = namedtuple("Row", "audio sampling_rate label")
Waveform = namedtuple("Waveform", "waveform sample_rate label")


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
        DataLoader(dataset.with_format("torch"), batch_size=2),
        table,
        [series for _, series in table.iterrows()],
        list(table.itertuples()),
    ):
        assert [(clip.seconds, clip.sampling_rate, clip.label, clip.path) for clip in clips(data)] == [
            (0.1, HALF, "3", "x.wav")
        ] * 2


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
    (tmp_path / "a.wav").write_bytes(CLIP)
    path = tmp_path / "a.wav"
    data = [(WAVE, HALF, "dog", 7), Row(WAVE, HALF, "dog"), Waveform(WAVE, HALF, "dog"), (path, "dog"), (CLIP, "dog")]
    assert [(clip.label, clip.seconds) for clip in clips(data)] == [("dog", 0.1)] * 5
    assert [clip.label for clip in clips([(str(path), 3), (path, np.int64(4)), (WAVE, "cat")])] == ["3", "4", "cat"]


@pytest.mark.parametrize(
    "data", [[(WAVE, 3)], Sounds(lambda i: (tone(i), i)), TensorDataset(tone(0)[None], torch.arange(1))]
)
def test_a_waveform_with_a_number_that_is_no_rate_says_what_to_give(data: Any) -> None:
    with pytest.raises(ValueError, match=r"clip 0 is a waveform with \d beside it, .*: give \(waveform, rate\)"):
        read(data)


@pytest.mark.slow
def test_open_files_are_read_as_often_as_they_are_asked_for(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(CLIP)
    with (tmp_path / "a.wav").open("rb") as file:
        data = [io.BytesIO(CLIP), file, {"audio": io.BytesIO(CLIP), "label": 1}]
        assert open_source(data).fingerprint == open_source(data).fingerprint != "unknown"
        for workers in (0, 1):
            assert [clip.seconds for clip in clips(data, workers=workers)] == [0.1] * 3
    (batch,) = read([file, io.StringIO("a"), b""])
    assert [aside.reason.split(":")[0] for aside in batch.quarantined] == [
        "an open file that cannot be read", "a file that was opened as text", "holds no bytes",
    ]  # fmt: skip
    with pytest.raises(ValueError, match="a single clip"):
        open_source(io.BytesIO(CLIP))


def test_arrays_of_objects_are_many_clips_and_known_by_all_of_their_content() -> None:
    long = sound(1.0, RATE)
    other = long.copy()
    other[8000] += 0.1  # in the middle, where numpy's own text of an array has dots
    one, two = (np.array([wave, WAVE], dtype=object) for wave in (long, other))
    assert len(clips(one)) == 2
    assert open_source(one).fingerprint != open_source(two).fingerprint
    assert open_source(np.array(["a.wav", "b.wav"])).length == 2


def test_webdataset_rows_are_read_by_the_names_of_their_parts() -> None:
    row = {"__key__": "s/1", "__url__": "a.tar", "wav": CLIP, "cls": b"3", "txt": "a d\xf6g".encode()}
    (clip,) = clips([row], audio_column="wav", label_column="cls", caption_column="txt")
    assert (clip.label, clip.caption, clip.path) == ("3", "a d\xf6g", "s/1")
    with pytest.raises(ValueError, match="clip 0 has no 'audio'; its keys are __key__, .*audio_column="):
        read([row])


def test_what_is_wrong_with_a_later_clip_sets_that_clip_aside() -> None:
    (batch,) = read([{"audio": WAVE}, {"sound": WAVE}, (WAVE, 3), {"audio": None}])
    assert [aside.clip for aside in batch.quarantined] == [1, 2, 3]
    assert "clip 1 has no 'audio'; its keys are sound" in batch.quarantined[0].reason
