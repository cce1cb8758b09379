"""A short clip, datasets of it, and how they are read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import datasets
import torch
from torch.utils.data import Dataset as TorchDataset

from and_nnsight.data import Batch, Clip, batches, open_source
from tests.damaged import encode, sound

RATE, HALF = 16_000, 8_000
WAVE = sound(0.1, HALF)  # 800 samples, which are 1,600 at the wanted rate
CLIP = encode(sound(0.1, RATE), RATE)


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


def tone(index: int) -> torch.Tensor:
    return torch.from_numpy(sound(0.1, HALF, seed=index))


def row(index: int) -> dict[str, Any]:
    return {"audio": tone(index), "label": torch.tensor(index), "sampling_rate": HALF}


def encoded() -> datasets.Dataset:
    return datasets.Dataset.from_list([{"file": CLIP, "label": index, "more": "x"} for index in range(3)])
