"""A dissection folder while it is being written: refuse another run's, take checkpoints, resume, finish.

Everything is written whole or not at all, and a checkpoint only counts once its state file is in place. So a process
may be killed at any moment: the next one continues from the last checkpoint and ends in the same files.
"""

from __future__ import annotations

import json
import os
from array import array
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as parquet
from jaxtyping import Float32
from torch import Tensor

from ..data import Clip, Quarantined
from ..data.text import printable
from ..dissection.clips import ClipRow
from ..dissection.errors import DissectionError
from ..dissection.files import activation_file, concept_file, scores_file, site_file
from ..dissection.manifest import COMPLETE, Manifest, read_manifest
from ..dissection.manifest_differences import differences, run_hash, unrecognisable
from ..statistics.concepts import ConceptAccumulator
from ..statistics.units import UnitStatistics
from ..storage import (
    Lock,
    as_json,
    file_checksum,
    locked,
    make_folder,
    read_tensors,
    undamaged,
    write_json,
    write_tensors,
    written_whole,
)
from ..wording import advice, counted
from .activations import ActivationWriter
from .segments import Segments

_ROWS_A_GROUP = 4_096
_OF_CONCEPTS = "concepts."  # before the names of their tensors in a checkpoint
_BEGIN_AGAIN = "this run cannot go on, begin again in a new folder"
TRUST = "trust"
"""What `resume` is to be where a caller vouches that it is the same data and the same model."""


def _some(names: Sequence[str]) -> str:
    """The first few of some names."""
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")


class RunFolder:
    """The folder of a run in progress. Use as a context manager: it is locked against a second run meanwhile.

    A run of which something cannot be recognised when it comes again is not continued, unless `resume` is "trust".
    """

    def __init__(self, folder: Path, manifest: Manifest, resume: bool | str = True) -> None:
        """Raises DissectionError, leaving the folder untouched, if it holds another run's files or any other files."""
        self.folder, self.manifest = folder, manifest
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
            raise DissectionError(str(error)) from error
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

    def restore(self, statistics: UnitStatistics, concepts: ConceptAccumulator | None = None) -> int:
        """Load the last checkpoint, if there is one, and return the stream position to continue at.

        Raises DissectionError if a file of it is not what was written.
        """
        state_file = self.progress / "state.safetensors"
        activations: dict[str, str] = {}
        if state_file.exists():
            with undamaged(state_file, _BEGIN_AGAIN, DissectionError):
                state, metadata = read_tensors(state_file)
                self._refuse_another_checkpoint(metadata)
                statistics.load_state_dict(state)
                self.position, self.truncated = int(metadata["position"]), int(metadata["truncated"])
                segments, rows = int(metadata["segments"]), metadata["rows"]
                activations = json.loads(metadata["activations"])
                if concepts is not None:
                    parts = [(name, state[name]) for name in state if name.startswith(_OF_CONCEPTS)]
                    concepts.load_state_dict({name.removeprefix(_OF_CONCEPTS): tensor for name, tensor in parts})
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

    def checkpoint(self, statistics: UnitStatistics, concepts: ConceptAccumulator | None = None) -> None:
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
        state = statistics.state_dict()
        if concepts is not None:
            state |= {_OF_CONCEPTS + name: tensor for name, tensor in concepts.state_dict().items()}
        write_tensors(self.progress / "state.safetensors", state, {name: str(metadata[name]) for name in metadata})

    def finish(self, statistics: UnitStatistics, concepts: ConceptAccumulator | None = None) -> None:
        """Write the results and mark the dissection complete.

        Raises DissectionError if no clip could be used; what was set aside is then in quarantine.jsonl.
        """
        self.checkpoint(statistics, concepts)
        quarantined = self._write_quarantine()
        if not statistics.clips:
            raise DissectionError(self._nothing_usable(quarantined))
        make_folder(self.folder / "sites", DissectionError)
        checksums: dict[str, str] = {}
        for site in statistics.slices:
            path = site_file(self.folder, site)
            checksums[self._name(path)] = write_tensors(path, statistics.site_tensors(site))
        if concepts is not None:
            make_folder(self.folder / "concepts", DissectionError)
            concepts.scores.save(scores_file(self.folder))
            for site, units in statistics.slices.items():
                path = concept_file(self.folder, site)
                checksums[self._name(path)] = write_tensors(path, concepts.site_tensors(units))
        silent, copies = self._write_clips()
        if self.activations is not None:
            rows = self.activations.checksums()
            checksums |= {self._name(activation_file(self.folder, site)): rows[site] for site in rows}
        for name in ("clips.parquet", "quarantine.jsonl"):
            checksums[name] = file_checksum(self.folder / name)
        self.manifest = replace(
            self.manifest,
            clips=statistics.clips,
            quarantined=quarantined,
            truncated=self.truncated,
            silent=silent,
            copies=copies,
            checksums=checksums,
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

    def _name(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()

    def _write_quarantine(self) -> int:
        count = 0
        with written_whole(self.folder / "quarantine.jsonl") as path, path.open("wb") as file:
            for row in self._segments.rows("quarantined"):
                file.write(as_json(row) + b"\n")
                count += 1
        return count

    def _write_clips(self) -> tuple[int, int]:
        """All rows in row groups of a fixed size, so that the file does not tell where checkpoints fell.

        Gives the number of silent clips, and of those whose samples an earlier clip has.
        """
        rows: list[ClipRow] = []
        contents, silent = array("Q"), 0
        with (
            written_whole(self.folder / "clips.parquet") as path,
            path.open("wb") as file,
            parquet.ParquetWriter(file, ClipRow.schema()) as writer,
        ):
            for columns in self._segments.rows("clips"):
                row = ClipRow.of_columns(columns)
                rows.append(row)
                contents.append(int(row.content or "", 16))
                silent += bool(row.silent)
                if len(rows) == _ROWS_A_GROUP:
                    writer.write_table(ClipRow.to_arrow(rows))
                    rows = []
            if rows:
                writer.write_table(ClipRow.to_arrow(rows))
        return silent, len(contents) - len(np.unique(contents))

    def _nothing_usable(self, quarantined: int) -> str:
        first = next(self._segments.rows("quarantined"), None)
        if first is None:
            return "the data holds no clip"
        return (
            f"none of the {counted(quarantined, 'clip')} can be used; the first, {first['path'] or first['clip']}: "
            f"{first['reason']} (all of them: {self.folder / 'quarantine.jsonl'})"
        )
