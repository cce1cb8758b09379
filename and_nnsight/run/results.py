"""The files of a dissection, written out of statistics and lists of clips, whoever brings these together."""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as arrow
import pyarrow.parquet as parquet

from ..dissection.clips import ClipRow
from ..dissection.errors import DissectionError
from ..dissection.files import (
    activation_file,
    annotation_file,
    annotations_file,
    concept_file,
    scores_file,
    site_file,
    sums_file,
)
from ..statistics.annotation_statistics import annotation_tensors
from ..statistics.concepts import ConceptAccumulator
from ..statistics.frame_concepts import FrameConcepts
from ..statistics.units import UnitStatistics
from ..storage import file_checksum, make_folder, write_tensors, written_whole

ROWS_A_GROUP = 4_096
OF_CONCEPTS, OF_FRAMES = "concepts.", "frames."  # before the names of their tensors in a file of sums


def sums_of(
    statistics: UnitStatistics, concepts: ConceptAccumulator | None, frames: FrameConcepts | None = None
) -> dict[str, Any]:
    """All that the results are made of, as tensors by name."""
    state = statistics.state_dict()
    for prefix, part in ((OF_CONCEPTS, concepts), (OF_FRAMES, frames)):
        if part is not None:
            state |= {prefix + name: tensor for name, tensor in part.state_dict().items()}
    return state


def load_sums(
    state: Mapping[str, Any],
    statistics: UnitStatistics,
    concepts: ConceptAccumulator | None,
    frames: FrameConcepts | None = None,
) -> None:
    """Continue from `sums_of`. Raises ValueError if shapes are others."""
    statistics.load_state_dict(state)
    for prefix, part in ((OF_CONCEPTS, concepts), (OF_FRAMES, frames)):
        if part is not None:
            own = [name for name in state if name.startswith(prefix)]
            part.load_state_dict({name.removeprefix(prefix): state[name] for name in own})


class Results:
    """Writes the files of a dissection. What it wrote is counted, and each file has its checksum.

    clips.parquet has row groups of a fixed size, so that it does not tell where checkpoints or shards began.
    """

    def __init__(
        self,
        folder: Path,
        statistics: UnitStatistics,
        concepts: ConceptAccumulator | None,
        frames: FrameConcepts | None = None,
    ) -> None:
        self.folder, self.statistics, self.concepts, self.frames = folder, statistics, concepts, frames
        self.quarantined = self.silent = self.copies = 0
        self.checksums: dict[str, str] = {}

    def write_quarantine(self, lines: Iterable[bytes]) -> None:
        """The clips that were set aside, each as JSON."""
        with written_whole(self.folder / "quarantine.jsonl") as path, path.open("wb") as file:
            for line in lines:
                file.write(line + b"\n")
                self.quarantined += 1

    def write_clips(self, tables: Iterable[arrow.Table]) -> None:
        """The clips that were seen, in tables of any size."""
        contents = array("Q")
        waiting = arrow.Table.from_batches([], ClipRow.schema())  # `empty_table` imports pandas
        with (
            written_whole(self.folder / "clips.parquet") as path,
            path.open("wb") as file,
            parquet.ParquetWriter(file, ClipRow.schema()) as writer,
        ):
            for table in tables:
                contents.extend(int(content or "", 16) for content in table["content"].to_pylist())
                self.silent += table["silent"].to_pylist().count(True)
                waiting = arrow.concat_tables([waiting, table])
                while len(waiting) >= ROWS_A_GROUP:
                    writer.write_table(waiting.slice(0, ROWS_A_GROUP).combine_chunks())
                    waiting = waiting.slice(ROWS_A_GROUP)
            if len(waiting):
                writer.write_table(waiting.combine_chunks())
        self.copies = len(contents) - len(np.unique(np.array(contents, np.uint64)))

    def write_sums(self, sounds: Any) -> None:
        """What a shard has to bring with it to be merged; `sounds`: whose are kept."""
        path = sums_file(self.folder)
        state, about = sums_of(self.statistics, self.concepts, self.frames), {"sounds": json.dumps(sounds)}
        self.checksums[self._name(path)] = write_tensors(path, state, about)

    def write_statistics(self) -> None:
        """Each site's, and how its units go with the concepts; the checksums of all that was written."""
        make_folder(self.folder / "sites", DissectionError)
        for site in self.statistics.slices:
            path = site_file(self.folder, site)
            self.checksums[self._name(path)] = write_tensors(path, self.statistics.site_tensors(site))
        if self.concepts is not None:
            make_folder(self.folder / "concepts", DissectionError)
            self.concepts.scores.save(scores_file(self.folder))
            for site, units in self.statistics.slices.items():
                path = concept_file(self.folder, site)
                self.checksums[self._name(path)] = write_tensors(path, self.concepts.site_tensors(units))
        if self.frames is not None:
            self._write_annotation_statistics(self.frames)
        for name in ("clips.parquet", "quarantine.jsonl"):
            self.checksums[name] = file_checksum(self.folder / name)

    def _write_annotation_statistics(self, frames: FrameConcepts) -> None:
        """The annotations, and how each site's units go with them."""
        make_folder(annotations_file(self.folder).parent, DissectionError)
        frames.annotations.save(annotations_file(self.folder))
        for site, tensors in annotation_tensors(frames).items():
            path = annotation_file(self.folder, site)
            self.checksums[self._name(path)] = write_tensors(path, tensors)

    def note_activations(self, checksums: Mapping[str, str]) -> None:
        """Checksums of the rows of kept activations, by site."""
        self.checksums |= {self._name(activation_file(self.folder, site)): checksums[site] for site in checksums}

    def _name(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()
