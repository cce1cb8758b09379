"""`(waveform, number)`: a rate where all numbers of the data can be, never a label."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import datasets
import numpy as np
import pytest
import torch
from torch.utils.data import Dataset, IterableDataset, TensorDataset

from and_nnsight.data import batches, open_source

RATE = 16_000
WAVE = np.sin(np.arange(800) / 10).astype(np.float32)


def lengths(data: Any, **options: Any) -> list[int]:
    source = open_source(data, **options)
    read = batches(source, sampling_rate=RATE, featurise=lambda waves: [len(wave) for wave in waves], batch_size=2)
    return [length for batch in read for length in batch.inputs or ()]


def tensors(*labels: int) -> TensorDataset:
    return TensorDataset(torch.from_numpy(WAVE).expand(len(labels), -1), torch.tensor(labels))


class Stream(IterableDataset[Any]):
    def __init__(self, clips: list[Any]) -> None:
        self.clips = clips

    def __iter__(self) -> Iterator[Any]:
        return iter(self.clips)


class Classified(Dataset[Any]):
    classes = tuple(str(number) for number in range(50_000))

    def __init__(self, *more: Any) -> None:
        self.more = more

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> Any:
        return (WAVE, 8_000, *self.more)


@pytest.mark.parametrize(
    "labels",
    [(8_000, 1_234), (8_000, 8_001), (16_000, 5, 6), (1_234, 1_235), (44_100, *(44_100,) * 40, 12_345), (8_000, 2_000)],
)
@pytest.mark.parametrize("kind", ["list", "number first", "tensors", "stream", "generator", "with more"])
def test_numbers_that_vary_as_no_rates_do_are_labels(labels: tuple[int, ...], kind: str) -> None:
    pairs: list[Any] = [(WAVE, label) for label in labels]
    data = {
        "list": pairs, "number first": [(label, WAVE) for label in labels], "tensors": tensors(*labels),
        "stream": Stream(pairs), "generator": iter(pairs), "with more": [(*pair, "dog") for pair in pairs],
    }[kind]  # fmt: skip
    expected = (
        r"numbers that vary so are labels, not sampling rates; give \(waveform, rate, label\)|may be a label or a"
    )
    with pytest.raises(ValueError, match=expected):
        lengths(data)


def test_labels_of_sorted_data_are_found_before_the_first_clip_is_read() -> None:
    clips = [(WAVE, 8_000)] * 1_000 + [(WAVE, 8_001)] * 1_000
    source = open_source(clips)
    with pytest.raises(ValueError, match="clip 0 .* 8000 .* clip 1000 one with 8001"):
        next(source.items())


@pytest.mark.parametrize("data", [[(WAVE, 1_234)] * 3, iter([(WAVE, 1_234)] * 3), tensors(5_000, 5_000)])
def test_one_odd_number_for_all_may_be_either_and_is_refused_with_what_to_give(data: Any) -> None:
    with pytest.raises(
        ValueError, match=r"may be a label or a sampling rate: give \(waveform, rate, label\) or a dict"
    ):
        lengths(data)
    assert lengths([(WAVE, 12_500, "dog")] * 2) == [1_024, 1_024], "which says so by its third"


def test_classes_say_that_pairs_are_of_a_waveform_and_its_class() -> None:
    with pytest.raises(ValueError, match="8000 beside it, which is its class, as Classified has classes"):
        lengths(Classified())
    assert lengths(Classified("dog")) == [1_600, 1_600]


def test_rates_stay_rates() -> None:
    assert lengths([(WAVE, 8_000), (WAVE, 16_000), (32_000, WAVE)]) == [1_600, 800, 400]
    assert lengths(Stream([(WAVE, 8_000), (WAVE, 16_000)])) == [1_600, 800]
    assert lengths([(WAVE, 8_000), (WAVE, 0), (WAVE, 8_000)]) == [1_600, 1_600], "a broken file ends nothing"


@pytest.mark.slow
@pytest.mark.parametrize("column", ["sr", "sampling_rate", "sample_rate"])
def test_a_column_of_classes_or_one_that_is_named_as_label_is_no_rate(column: str) -> None:
    names = datasets.ClassLabel(names=[str(number) for number in range(9_000)])
    sound = datasets.Sequence(datasets.Value("float32"))
    rows = {"audio": [WAVE.tolist()] * 2, column: [8_000, 8_001]}
    dataset = datasets.Dataset.from_dict(rows, features=datasets.Features({"audio": sound, column: names}))
    assert lengths(dataset) == lengths(dataset, label_column=column) == [800, 800]
    assert lengths([{"audio": WAVE, column: 8_000}], label_column=column) == [800]
    assert [item.label for item in open_source(dataset, label_column=column).items()] == ["8000", "8001"]
