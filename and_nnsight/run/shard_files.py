"""A shard that is done, as merging takes it: its sums, and its rows, some at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as arrow
import pyarrow.parquet as parquet

from ..dissection.dissection import Dissection
from ..dissection.errors import REMEDY, DissectionError
from ..dissection.files import sums_file
from ..dissection.manifest import COMPLETE, Manifest, read_manifest
from ..statistics.concepts import ConceptAccumulator
from ..statistics.frame_concepts import FrameConcepts
from ..statistics.units import UnitStatistics
from ..storage import read_tensors, undamaged
from .results import ROWS_A_GROUP, load_sums


@dataclass(frozen=True)
class ShardFiles:
    """A folder that holds a whole shard."""

    folder: Path
    manifest: Manifest

    @classmethod
    def open(cls, folder: Path) -> ShardFiles:
        """Raises DissectionError for a folder that holds no shard, or one that is not done."""
        manifest = read_manifest(folder)
        if manifest is None:
            what = "there is no manifest.json" if folder.is_dir() else "there is no such folder"
            raise DissectionError(f"{folder} holds no shard: {what}")
        if manifest.shard is None:
            raise DissectionError(f"{folder} holds no shard of a run: it was made without shard=")
        if manifest.state != COMPLETE:
            raise DissectionError(
                f"shard {manifest.shard} in {folder} is not done: call dissect again with the same settings and "
                f"shard={str(manifest.shard)!r} to finish it"
            )
        return cls(folder, Dissection.load(folder).manifest)

    @property
    def index(self) -> int:
        """Which shard it is."""
        return 0 if self.manifest.shard is None else self.manifest.shard.index

    @property
    def count(self) -> int:
        """Of how many."""
        return 1 if self.manifest.shard is None else self.manifest.shard.count

    @property
    def is_a_stretch(self) -> bool:
        """Whether its clips all lie between those of the shards before and after it."""
        return self.manifest.shard is not None and "start" in self.manifest.shard.positions

    def load_into(
        self, statistics: UnitStatistics, concepts: ConceptAccumulator | None, frames: FrameConcepts | None = None
    ) -> Any:
        """Fill empty accumulators with the shard's sums; gives whose sounds it keeps. Raises DissectionError."""
        path = sums_file(self.folder)
        with undamaged(path, REMEDY, DissectionError):
            state, about = read_tensors(path, self.manifest.checksums.get(path.name))
            load_sums(state, statistics, concepts, frames)
            return json.loads(about["sounds"])

    @cached_property
    def clips(self) -> np.ndarray:
        """Ids of the clips that were seen, ascending."""
        path = self.folder / "clips.parquet"
        with undamaged(path, REMEDY, DissectionError):
            Dissection(self.folder, self.manifest).check(path)
            return parquet.read_table(path, columns=["clip"])["clip"].to_numpy()

    @cached_property
    def quarantine(self) -> list[bytes]:
        """The lines of quarantine.jsonl."""
        path = self.folder / "quarantine.jsonl"
        with undamaged(path, REMEDY, DissectionError):
            Dissection(self.folder, self.manifest).check(path)
            return path.read_bytes().split(b"\n")[:-1]

    @property
    def set_aside(self) -> list[int]:
        """Ids of the clips that were set aside."""
        return [json.loads(line)["clip"] for line in self.quarantine]

    def tables(self, lengths: Sequence[int]) -> Iterator[arrow.Table]:
        """The rows of clips.parquet as tables of these lengths."""
        with parquet.ParquetFile(self.folder / "clips.parquet") as file:
            batches = file.iter_batches(ROWS_A_GROUP)
            waiting = arrow.Table.from_batches([], file.schema_arrow)
            for length in lengths:
                while len(waiting) < length:
                    waiting = arrow.concat_tables([waiting, arrow.Table.from_batches([next(batches)])])
                yield waiting.slice(0, length)
                waiting = waiting.slice(length)
