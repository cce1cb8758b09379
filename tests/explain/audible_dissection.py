"""The dissections of `scored_dissection` with a file for every clip: its samples tell a scripted listener its id."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as arrow
import pyarrow.parquet as parquet
import soundfile

from and_nnsight.dissection.dissection import Dissection
from tests.explain.scored_dissection import written

RATE, SECONDS = 16_000, 0.01


def audible(folder: Path, seed: int, clips: int = 150, **options: Any) -> Dissection:
    """As `scored_dissection.written`; clip `i` is a constant at i / 1,000."""
    dissection = written(folder, seed, clips, **options)
    path = folder / "clips.parquet"
    rows = parquet.read_table(path).to_pylist()
    (folder / "audio").mkdir()
    for row in rows:
        file = folder / "audio" / f"{row['clip']}.wav"
        samples = np.full(round(SECONDS * RATE), row["clip"] / 1_000, np.float32)
        soundfile.write(file, samples, RATE, subtype="FLOAT")
        row |= {"path": str(file), "seconds": SECONDS}
    parquet.write_table(arrow.Table.from_pylist(rows), path)
    return Dissection.load(dissection.folder)


def clip_of(samples: np.ndarray) -> int:
    """The id of a clip, out of its samples."""
    return round(float(samples[0]) * 1_000)
