"""Samples as other libraries hold them, arrays that are no plain numbers, and values that hold themselves."""

from __future__ import annotations

import re
from array import array
from typing import Any

import numpy as np
import pandas
import pyarrow
import pytest
import torch

from and_nnsight.data import UNKNOWN, Batch, batches, open_source

RATE = 16_000
WAVE = (np.sin(np.arange(800) / 10) / 2).astype(np.float32)
LOOP: list[Any] = []
LOOP.append(LOOP)
DEEP: list[Any] = [0.5]
for _ in range(5_000):
    DEEP = [DEEP]


def read(data: Any, workers: int = 0) -> list[Batch[Any]]:
    source = open_source(data)
    return list(batches(source, sampling_rate=RATE, featurise=list, batch_size=4, num_workers=workers))


SAMPLES: dict[str, Any] = {
    "array": array("f", WAVE.tolist()), "view": memoryview(WAVE), "series": pandas.Series(WAVE),
    "sparse column": pandas.arrays.SparseArray(WAVE), "arrow": pyarrow.array(WAVE),
    "chunks": pyarrow.chunked_array([pyarrow.array(WAVE[:300]), pyarrow.array(WAVE[300:])]), "matrix": WAVE[None].view(np.matrix),
    "unmasked": np.ma.masked_array(WAVE), "swapped": WAVE.astype(">f4"), "sparse": torch.from_numpy(WAVE).to_sparse(),
    "wide": WAVE.astype(np.longdouble),
}  # fmt: skip


@pytest.mark.parametrize("kind", SAMPLES)
@pytest.mark.parametrize("shape", ["alone", "in a row", "as array", "with rate", "with label"])
def test_samples_of_other_libraries_are_heard_and_known_again(kind: str, shape: str) -> None:
    value = SAMPLES[kind]
    clip = {
        "alone": value, "in a row": {"audio": value}, "as array": {"array": value, "sampling_rate": RATE},
        "with rate": (value, RATE), "with label": (value, "dog"),
    }[shape]  # fmt: skip
    (batch,) = read([clip, clip])
    assert batch.quarantined == ()
    for samples in batch.inputs or ():
        assert np.array_equal(samples, WAVE)
    fingerprints = {open_source([clip, clip]).fingerprint for _ in range(3)}
    assert len(fingerprints) == 1 and UNKNOWN not in fingerprints


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (np.ma.masked_array(WAVE, np.arange(800) < 3), r"3 of 800 samples are masked: fill them \(array.filled\(0\)\)"),
        (np.zeros(800, [("left", "f4"), ("right", "f4")]), r"records \(left, right; one of its fields may be\) is not"),
        (WAVE.astype(object), r"an array of objects \(astype\('float32'\) makes numbers of it"),
        (WAVE.astype(complex), "complex128 is not audio"),
        (pandas.array([1.0, None] * 400, dtype="Float32"), "400 of 800 samples are not finite"),
        (pandas.Categorical(["a"] * 9), "an array of objects"),
        (torch.zeros(800, device="meta"), "a tensor whose values cannot be read"),
        (pyarrow.scalar([1.0]), "a ListScalar is not audio: a path, the bytes of a file or an array of samples is"),
        (LOOP, "a list of audio holds numbers, or lists of numbers that are all of one length"),
        (DEEP, "a list of audio holds numbers, or lists of numbers that are all of one length"),
        ({"array": LOOP, "sampling_rate": RATE}, "a list of audio holds numbers"),
    ],
)
@pytest.mark.parametrize("workers", [0, 1])
def test_what_is_no_waveform_is_set_aside_in_a_sentence(value: Any, reason: str, workers: int) -> None:
    if workers and value is DEEP:
        workers = 0  # it cannot be sent anywhere
    (batch,) = read([WAVE, {"audio": value} if not isinstance(value, dict) else value, WAVE], workers)
    assert len(batch.inputs or ()) == 2
    assert [row.clip for row in batch.quarantined] == [1]
    assert re.search(reason, batch.quarantined[0].reason)


def test_masks_are_part_of_the_content() -> None:
    masked = [np.ma.masked_array(WAVE, np.arange(800) < count) for count in (0, 3, 4)]
    assert len({open_source([value]).fingerprint for value in masked}) == 3


@pytest.mark.parametrize("loop", [LOOP, DEEP, {"x": LOOP}], ids=["list", "deep", "dict"])
@pytest.mark.parametrize("key", ["label", "caption", "path", "anything"])
def test_values_that_hold_themselves_end_nothing(loop: Any, key: str) -> None:
    (batch,) = read([{"audio": WAVE, key: loop}])
    assert batch.quarantined == () and len(batch.clips) == 1
    assert open_source([{"audio": WAVE, key: loop}]).fingerprint == UNKNOWN
    itself: dict[str, Any] = {}
    itself["audio"] = itself
    assert read([WAVE, itself])[0].quarantined[0].reason.startswith("a dict of audio holds")


def test_rows_of_pandas_are_rows_and_columns_of_one_name_are_refused() -> None:
    table = pandas.DataFrame({"audio": [WAVE, WAVE], "label": ["a", "b"]})
    for rows in (table, table.iterrows(), table.itertuples(), [row for _, row in table.iterrows()]):
        assert [clip.label for batch in read(rows) for clip in batch.clips] == ["a", "b"]
    twice = pandas.DataFrame([[WAVE, WAVE]], columns=["audio", "audio"])
    with pytest.raises(ValueError, match="the table has several columns 'audio': rename them"):
        read(twice)


def test_a_message_does_not_name_thousands_of_keys() -> None:
    with pytest.raises(ValueError, match=r"its keys are 0, 1, .*, 19 and 780 more: name the one") as caught:
        read([dict(enumerate(WAVE.tolist()))])
    assert len(str(caught.value)) < 300
