"""Folders, datasets and objects of one short clip."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import datasets
import numpy as np

from and_nnsight.data import Batch, Source, batches, open_source
from tests.damaged import encode, sound
from tests.data.clips import CLIP, RATE, lengths


@dataclass(eq=False)
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


def unused_reasons(root: Path) -> dict[str, tuple[int, str]]:
    """What a folder holds that is no clip: each reason with its count and an example."""
    return {unused.reason: (unused.count, unused.example) for unused in open_source(root).unused}


def read_folder(root: Path) -> Batch[list[int]]:
    """A small folder in one batch."""
    (batch,) = batches(open_source(root), sampling_rate=RATE, featurise=lengths, batch_size=99)
    return batch


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


class Lazy:
    """A map-style torch dataset: its clips are made on access."""

    def __len__(self):
        return 5

    def __getitem__(self, position: int):
        if not 0 <= position < 5:
            raise IndexError(position)
        return np.full(10, position, np.float32)
