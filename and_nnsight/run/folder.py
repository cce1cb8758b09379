"""A dissection folder while it is being written: refuse another run's, take checkpoints, resume, finish.

Everything is written whole or not at all, and a checkpoint only counts once its state file is in place. So a process
may be killed at any moment: the next one continues from the last checkpoint and ends in the same files.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as arrow
from jaxtyping import Float32
from torch import Tensor

from ..data import Clip, Quarantined
from ..data.text import printable
from ..dissection.clips import ClipRow
from ..dissection.errors import DissectionError
from ..dissection.manifest import COMPLETE, Manifest, read_manifest
from ..dissection.manifest_differences import differences, run_hash, unrecognisable
from ..statistics.concepts import ConceptAccumulator
from ..statistics.frame_concepts import FrameConcepts
from ..statistics.units import UnitStatistics
from ..storage import (
    Lock,
    as_json,
    locked,
    make_folder,
    read_tensors,
    undamaged,
    write_json,
    write_tensors,
)
from ..wording import advice, counted
from .activations import ActivationWriter
from .results import ROWS_A_GROUP, Results, load_sums, sums_of
from .segments import Segments

_BEGIN_AGAIN = "this run cannot go on, begin again in a new folder"
TRUST = "trust"
"""What `resume` is to be where a caller vouches that it is the same data and the same model."""


def _some(names: Sequence[str]) -> str:
    """The first few of some names."""
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")


class FolderInUse(DissectionError):
    """A folder that another process writes to."""


class RunFolder:
    """The folder of a run in progress. Use as a context manager: it is locked against a second run meanwhile.

    A run of which something cannot be recognised when it comes again is not continued, unless `resume` is "trust".
    """

    def __init__(
        self, folder: Path, manifest: Manifest, resume: bool | str = True, *, joins_shards: bool = False
    ) -> None:
        """Raises DissectionError, leaving the folder untouched, if it holds another run's files or any other files.

        joins_shards  it is to hold what the shards in it make up
        """
        self.folder, self.manifest, self.joins_shards = folder, manifest, joins_shards
        self._unknown = [] if resume == TRUST else unrecognisable(manifest)
        self.progress = folder / "progress"
        self.position = 0
        self.truncated = 0
        self._segments = Segments(self.progress, _BEGIN_AGAIN)
        self._rows: list[ClipRow] = []
        self._aside: list[Quarantined] = []
        self._lock: Lock | None = None
        self.activations = ActivationWriter(folder, manifest.widths) if manifest.keep_activations else None
        try:
            self._inspect(bool(resume))
        except OSError as error:
            raise DissectionError(f"{error.filename or folder}: {advice(error)}") from error

    def _inspect(self, resume: bool) -> None:
        """Find out whether the folder is new, this run's, or somebody else's."""
        if os.path.lexists(self.folder) and not self.folder.is_dir():
            what = "a link to what is not there" if self.folder.is_symlink() else "a file"
            raise DissectionError(f"{self.folder} is {what}: choose a folder")
        there = read_manifest(self.folder)
        if there is None:
            self._refuse_other_files()
        else:
            self._refuse_files_for_folders()
            self._refuse_another_run(there, resume)
            if self.manifest.dtype is None:
                self.manifest = replace(self.manifest, dtype=there.dtype)  # a server's, known since an earlier call
        self.continues = there is not None
        self.begun_with: Mapping[str, str] = {} if there is None else there.versions
        self.complete = there is not None and there.state == COMPLETE

    def _refuse_other_files(self) -> None:
        """Raise DissectionError if the folder holds anything that a run does not begin with."""
        files = sorted(path.name for path in self.folder.iterdir()) if self.folder.is_dir() else []
        others = [name for name in files if name != ".lock" and not name.endswith(".tmp")]
        if others == ["shards"] and self.joins_shards:
            return
        if others == ["shards"]:
            raise DissectionError(
                f"{self.folder} holds shards of a run: merge them, call again with shard= to go on with one, or choose "
                "a new folder"
            )
        if others:
            raise DissectionError(f"{self.folder} holds other files ({_some(others)}): choose a new folder")

    def _refuse_files_for_folders(self) -> None:
        """Raise DissectionError if a file has the name of one of a dissection's folders."""
        for name in ("progress", "sites", "activations", "concepts", "exemplars"):
            path = self.folder / name
            if path.exists() and not path.is_dir():
                raise DissectionError(f"{path} is a file where a dissection has a folder: remove it")

    def _refuse_another_run(self, there: Manifest, resume: bool) -> None:
        """Raise DissectionError unless the run in the folder may go on as this one."""
        if not resume:
            raise DissectionError(f"{self.folder} already holds a dissection: a fresh run needs a new folder")
        if differing := "; ".join(differences(there, self.manifest)):
            raise DissectionError(
                f"{self.folder} holds a dissection with other settings ({differing}): choose a new folder"
            )
        if self._unknown:
            raise DissectionError(
                f"{self.folder} holds a dissection of {' and '.join(self._unknown)}: choose a new folder, or, if it is "
                'the very same, pass resume="trust"'
            )

    def __enter__(self) -> RunFolder:
        """Lock the folder. Raises DissectionError if another process writes to it."""
        if self.complete:
            self._clear()  # a process may have been killed between its last two steps
            return self
        make_folder(self.folder, DissectionError)
        try:
            self._lock = locked(self.folder / ".lock")
        except BlockingIOError as error:
            raise FolderInUse(str(error)) from error
        except IsADirectoryError as error:
            raise DissectionError(f"{self.folder / '.lock'} is a folder where the lock belongs: remove it") from error
        try:
            self._inspect(resume=True)  # another process may have come first
            if not self.continues:
                self._write_manifest()
        except BaseException:
            self._lock.close()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        """Unlock the folder."""
        if self._lock is not None:
            self._lock.close(remove=self.complete)

    def _write_manifest(self) -> None:
        write_json(self.folder / "manifest.json", self.manifest.to_json())

    def settle_dtype(self, dtype: str) -> None:
        """Write down the dtype of a model that runs elsewhere, once it is known."""
        self.manifest = replace(self.manifest, dtype=dtype)
        self._write_manifest()

    def restore(
        self,
        statistics: UnitStatistics,
        concepts: ConceptAccumulator | None = None,
        frames: FrameConcepts | None = None,
    ) -> int:
        """Load the last checkpoint, if there is one, and return the stream position to continue at.

        Raises DissectionError if a file of it is not what was written.
        """
        state_file = self.progress / "state.safetensors"
        activations: dict[str, str] = {}
        if state_file.exists():
            with undamaged(state_file, _BEGIN_AGAIN, DissectionError):
                state, metadata = read_tensors(state_file)
                self._refuse_another_checkpoint(metadata)
                load_sums(state, statistics, concepts, frames)
                self.position, self.truncated = int(metadata["position"]), int(metadata["truncated"])
                segments, rows = int(metadata["segments"]), metadata["rows"]
                activations = json.loads(metadata["activations"])
            self._segments.restore(segments, rows)  # that it is whole is better known now than after hours
            self._refuse_moved_clips()
        if self.activations is not None:
            self.activations.restore(statistics.clips, activations)
        return self.position

    def _refuse_another_checkpoint(self, metadata: Mapping[str, str]) -> None:
        """Raise DissectionError for a checkpoint that was copied here from another run's folder."""
        if metadata["run"] != run_hash(self.manifest):
            raise DissectionError(f"{self.progress} holds a checkpoint of another run: {_BEGIN_AGAIN}")

    def _refuse_moved_clips(self) -> None:
        """Raise DissectionError if the clips so far lay elsewhere: their paths would be of files that are gone."""
        data = self.manifest.dataset
        if data.kind not in ("folder", "file") or data.name is None:
            return
        root = printable(Path.cwd() / Path(data.name))
        first = next((row["path"] for row in self._segments.rows("clips") if row["path"]), None)
        if first is not None and not Path(first).is_relative_to(root):
            raise DissectionError(
                f"{self.folder} holds a dissection of clips such as {first}, which are in {root} now: move or link "
                "them to where they were, or choose a new folder"
            )

    def saw(self, position: int, clips: Sequence[Clip], quarantined: Sequence[Quarantined], truncated: int) -> None:
        """Note what a finished batch held; `position` is the stream position after it."""
        self.position = position
        self.truncated += truncated
        self._rows += map(ClipRow.of, clips)
        self._aside += quarantined

    def keep(self, values: Float32[Tensor, "clip unit"]) -> None:
        """Keep the pooled values of all sites for the clips of a finished batch, if the run keeps them."""
        if self.activations is not None:
            self.activations.append(values)

    @property
    def pending(self) -> int:
        """How many rows wait for the next checkpoint."""
        return len(self._rows) + len(self._aside)

    def checkpoint(
        self,
        statistics: UnitStatistics,
        concepts: ConceptAccumulator | None = None,
        frames: FrameConcepts | None = None,
    ) -> None:
        """Make everything seen so far survive."""
        make_folder(self.progress, DissectionError)
        if self.activations is not None:
            self.activations.flush()
        if self._rows or self._aside:
            rows: list[tuple[str, dict[str, Any]]] = [("clips", row.columns()) for row in self._rows]
            self._segments.append([*rows, *(("quarantined", asdict(row)) for row in self._aside)])
            self._rows, self._aside = [], []
        metadata = {
            "position": self.position, "truncated": self.truncated,
            "segments": self._segments.count, "rows": self._segments.digest,
            "activations": json.dumps({} if self.activations is None else self.activations.checksums()),
            "run": run_hash(self.manifest),
        }  # fmt: skip
        described = {name: str(metadata[name]) for name in metadata}
        write_tensors(self.progress / "state.safetensors", sums_of(statistics, concepts, frames), described)

    def finish(
        self,
        statistics: UnitStatistics,
        concepts: ConceptAccumulator | None = None,
        frames: FrameConcepts | None = None,
        sounds: Any | None = None,
    ) -> None:
        """Write the results and mark the dissection complete. A shard also notes whose `sounds` are kept.

        Raises DissectionError if no clip could be used; what was set aside is then in quarantine.jsonl.
        """
        self.checkpoint(statistics, concepts, frames)
        results = Results(self.folder, statistics, concepts, frames)
        results.write_quarantine(as_json(row) for row in self._segments.rows("quarantined"))
        if not statistics.clips and self.manifest.shard is None:
            raise DissectionError(self._nothing_usable(results.quarantined))
        results.write_clips(self._tables())
        if self.manifest.shard is not None:
            results.write_sums(sounds)
        self.complete_with(results)

    def complete_with(self, results: Results) -> None:
        """Write what statistics say, and mark the dissection complete. Its clips are written already."""
        results.write_statistics()
        if self.activations is not None:
            results.note_activations(self.activations.checksums())
        self.manifest = replace(
            self.manifest,
            clips=results.statistics.clips,
            quarantined=results.quarantined,
            truncated=self.truncated,
            silent=results.silent,
            copies=results.copies,
            checksums=results.checksums,
            state=COMPLETE,
        )
        self._write_manifest()
        self.complete = True
        self._clear()

    def _clear(self) -> None:
        for path in sorted(self.progress.iterdir()) if self.progress.is_dir() else []:
            if not path.is_dir():  # somebody's own is left
                path.unlink()
        with suppress(OSError):
            self.progress.rmdir()

    def _tables(self) -> Iterator[arrow.Table]:
        """The rows of clips.parquet, some at a time."""
        rows = (ClipRow.of_columns(columns) for columns in self._segments.rows("clips"))
        for first in rows:
            yield ClipRow.to_arrow([first, *islice(rows, ROWS_A_GROUP - 1)])

    def _nothing_usable(self, quarantined: int) -> str:
        first = next(self._segments.rows("quarantined"), None)
        if first is None:
            return "the data holds no clip"
        return (
            f"none of the {counted(quarantined, 'clip')} can be used; the first, {first['path'] or first['clip']}: "
            f"{first['reason']} (all of them: {self.folder / 'quarantine.jsonl'})"
        )
