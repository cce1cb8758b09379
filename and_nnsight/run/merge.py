"""The shards of a run, merged into one dissection: file by file what a single process would have written."""

from __future__ import annotations

import heapq
import json
import os
import shutil
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as arrow
import torch

from ..dissection.dissection import Dissection
from ..dissection.errors import DissectionError
from ..dissection.files import shards_folder, sound_file, sounds_folder
from ..dissection.manifest import COMPLETE, RUNNING, Manifest, read_manifest
from ..dissection.manifest_differences import differences
from ..statistics.concept_scores import ConceptScores
from ..statistics.concepts import ConceptAccumulator
from ..statistics.frame_concepts import FrameConcepts
from ..statistics.units import UnitStatistics
from ..storage import make_folder, written_whole
from ..wording import counted
from .folder import TRUST, FolderInUse, RunFolder
from .reports import warn_of_contents, warn_of_values
from .results import Results
from .shard_files import ShardFiles
from .shards import shard_folder
from .sounds import SoundChoice, SoundKeeper

_BYTES_AT_ONCE = 1 << 26  # of activations
Order = list[tuple[int, int]]
"""Which shard has the next clips of the stream, and how many."""


def merge(
    folders: str | os.PathLike[str] | Iterable[str | os.PathLike[str]], *, out: str | os.PathLike[str]
) -> Dissection:
    """The shards of a run as one dissection, equal file by file to that of a run that was not split.

    folders  of all shards of the run, in any order; or the folder that they were written below (`dissect`'s out)
    out      folder of the dissection; it may be the one that the shards are below

    Memory is that of one run, however many shards and clips there are. The shards stay as they are; they are not
    needed afterwards. Sounds of exemplars that were kept come too; the activations over them are made with the model,
    by `keep_exemplars`.

    Raises DissectionError if a shard is missing, not done, there twice, damaged, or of another run than the others.
    """
    dissection = join_shards(_folders(folders), Path(out).expanduser())
    warn_of_values(dissection)
    warn_of_contents(dissection)
    return dissection


def join_shards(folders: Sequence[Path], target: Path) -> Dissection:
    """The dissection that shards make up, written to a folder. Raises what `merge` raises."""
    shards = _in_order([ShardFiles.open(folder) for folder in folders])
    order = stream_order(shards)
    with RunFolder(target, whole_manifest(shards[0].manifest), TRUST, joins_shards=True) as folder:
        if not folder.complete:
            if (folder.progress / "state.safetensors").exists():
                raise DissectionError(f"{target} holds an unfinished run of its own: choose another folder")
            _Union(folder, shards, order).write()
    return Dissection.load(target)


def whole_manifest(manifest: Manifest) -> Manifest:
    """What a shard's manifest says of the run that it is a part of, at its beginning."""
    none = dict.fromkeys(Manifest.COUNTS, 0)
    return replace(manifest, shard=None, checksums={}, state=RUNNING, **none)


def _folders(folders: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> list[Path]:
    """Those of shards, and in place of one that shards are below these."""
    given = [folders] if isinstance(folders, str | os.PathLike) else list(folders)
    paths = []
    for folder in map(Path, given):
        folder = folder.expanduser()
        below = shards_folder(folder)
        paths += sorted(path for path in below.iterdir() if path.is_dir()) if below.is_dir() else [folder]
    if not paths:
        raise DissectionError("there is no shard to merge: give the folders that dissect wrote them to")
    return paths


def _in_order(shards: Sequence[ShardFiles]) -> list[ShardFiles]:
    """Every shard of a run once, the first first. Raises DissectionError, naming them, for others."""
    first = shards[0]
    for shard in shards[1:]:
        if shard.count != first.count:
            raise DissectionError(
                f"{first.folder} holds shard {first.manifest.shard} and {shard.folder} shard {shard.manifest.shard}: "
                "merge shards of one run, of which there are as many"
            )
        if differing := "; ".join(differences(whole_manifest(first.manifest), whole_manifest(shard.manifest))):
            raise DissectionError(
                f"{shard.folder} holds a shard of another run than {first.folder} ({differing}; here is "
                f"{shard.folder.name})"
            )
        _warn_of_versions(first, shard)
    by_index: dict[int, ShardFiles] = {}
    for shard in shards:
        other = by_index.setdefault(shard.index, shard)
        if other is not shard:
            raise DissectionError(f"shard {shard.manifest.shard} is there twice: {other.folder} and {shard.folder}")
    if missing := sorted(set(range(first.count)) - set(by_index)):
        names = ", ".join(f"{index}/{first.count}" for index in missing[:5])
        raise DissectionError(
            f"{counted(len(missing), 'shard')} of {first.count} {'is' if len(missing) == 1 else 'are'} missing: {names}"
        )
    return [by_index[index] for index in range(first.count)]


def _warn_of_versions(one: ShardFiles, other: ShardFiles) -> None:
    there, here = one.manifest, other.manifest
    if there.versions != here.versions or there.model.arithmetic != here.model.arithmetic:
        warnings.warn(
            f"{other.folder} was made with other versions of packages, or another arithmetic, than {one.folder}: "
            "values may differ in their last digits from those of one run",
            stacklevel=5,
        )


def stream_order(shards: Sequence[ShardFiles]) -> Order:
    """How the clips of shards follow upon one another. Raises DissectionError for a position in two shards, or none."""
    _check_positions(shards)
    clips = np.concatenate([shard.clips for shard in shards])
    owners = np.repeat(np.arange(len(shards)), [len(shard.clips) for shard in shards])[clips.argsort()]
    edges = [0, *(np.flatnonzero(owners[1:] != owners[:-1]) + 1).tolist(), len(owners)]
    return [(int(owners[start]), stop - start) for start, stop in pairwise(edges) if stop > start]


def _check_positions(shards: Sequence[ShardFiles]) -> None:
    """Raise DissectionError for a position that is in two shards, or in none although later ones are."""
    positions = [np.concatenate([shard.clips, np.array(shard.set_aside, np.int64)]) for shard in shards]
    known = np.sort(np.concatenate(positions))
    wrong = np.flatnonzero(known != np.arange(len(known)))
    if not len(wrong):
        return
    position = int(min(known[wrong[0]], wrong[0]))
    there = [str(shard.folder) for shard, own in zip(shards, positions, strict=True) if position in own]
    if len(there) > 1:
        raise DissectionError(f"clip {position} is in two shards: {' and '.join(there)}")
    raise DissectionError(
        f"clip {position} of the stream is in no shard, and later ones are: dissect all shards with the same "
        "batch_size over the same data"
    )


class _Sums(NamedTuple):
    """What the results of a run are made of."""

    statistics: UnitStatistics
    concepts: ConceptAccumulator | None
    frames: FrameConcepts | None


class _Union:
    """Writes what shards make up together."""

    def __init__(self, folder: RunFolder, shards: Sequence[ShardFiles], order: Order) -> None:
        self.folder, self.shards, self.order = folder, shards, order
        manifest = folder.manifest
        self.scores: ConceptScores | None = None
        if manifest.concepts is not None:
            self.scores = Dissection(shards[0].folder, shards[0].manifest).concepts
        self.annotations = Dissection(shards[0].folder, shards[0].manifest).annotations
        self.widths, self.k, self.pool = manifest.widths, manifest.k, manifest.pool or "max"

    def _empty(self) -> _Sums:
        statistics = UnitStatistics(self.widths, k=self.k, pooling=self.pool)
        concepts = None if self.scores is None else ConceptAccumulator(statistics.units, self.scores)
        frames = None if self.annotations is None else FrameConcepts(self.widths, self.annotations)
        return _Sums(statistics, concepts, frames)

    def _added_up(self) -> tuple[_Sums, Any]:
        """The sums of all shards, one shard at a time, and whose sounds they keep."""
        sums = self._empty()
        sounds = None
        for shard in self.shards:
            more = self._empty()
            sounds = shard.load_into(*more)
            sums.statistics.merge(more.statistics, in_order=shard.is_a_stretch)
            if sums.concepts is not None and more.concepts is not None:
                sums.concepts.merge(more.concepts)
            if sums.frames is not None and more.frames is not None:
                sums.frames.merge(more.frames)
        return sums, sounds

    def write(self) -> None:
        """All files of the dissection."""
        sums, sounds = self._added_up()
        statistics = sums.statistics
        results = Results(self.folder.folder, *sums)
        lines = (((json.loads(line)["clip"], line) for line in shard.quarantine) for shard in self.shards)
        results.write_quarantine(line for _, line in heapq.merge(*lines))
        if not statistics.clips:
            raise DissectionError(
                f"none of {counted(results.quarantined, 'clip')} in {counted(len(self.shards), 'shard')} can be used"
            )
        results.write_clips(self._tables())
        if self.folder.activations is not None:
            self._write_activations()
        if sounds is not None:
            self._copy_sounds(statistics, sounds)
        self.folder.truncated = sum(shard.manifest.truncated for shard in self.shards)
        self.folder.complete_with(results)

    def _tables(self) -> Iterator[arrow.Table]:
        """The rows of clips.parquet in the order of the stream."""
        readers = [
            shard.tables([length for owner, length in self.order if owner == index])
            for index, shard in enumerate(self.shards)
        ]
        return (next(readers[owner]) for owner, _ in self.order)

    def _write_activations(self) -> None:
        """The kept activations in the order of the stream."""
        writer = self.folder.activations
        assert writer is not None
        writer.restore(0, {})
        tables = [self._activations_of(shard) for shard in self.shards]
        read = [0] * len(self.shards)
        most = max(1, _BYTES_AT_ONCE // (4 * sum(self.widths.values())))
        for owner, length in self.order:
            for start in range(read[owner], read[owner] + length, most):
                rows = slice(start, min(start + most, read[owner] + length))
                values = np.concatenate([table[rows] for table in tables[owner]], 1)
                writer.append(torch.from_numpy(values))
            read[owner] += length
        writer.flush()

    def _activations_of(self, shard: ShardFiles) -> list[np.ndarray]:
        """Those of each site, as they lie in its files."""
        if not len(shard.clips):
            return []
        part = Dissection(shard.folder, shard.manifest)
        tables = [part.activations(site) for site in self.widths]
        return [table for table in tables if table is not None]

    def _copy_sounds(self, statistics: UnitStatistics, sounds: dict[str, Any]) -> None:
        """The sounds of the clips that stand in the lists."""
        make_folder(sounds_folder(self.folder.folder), DissectionError)
        choice = SoundChoice.from_json(sounds)
        for clip in SoundKeeper(self.folder.folder, choice, statistics).in_lists().tolist():
            there = [path for path in (sound_file(shard.folder, clip) for shard in self.shards) if path.exists()]
            if not there:
                raise DissectionError(f"the sound of clip {clip} is in none of the shards: dissect its shard again")
            with written_whole(sound_file(self.folder.folder, clip)) as path:
                shutil.copyfile(there[0], path)


def place_of_run(out: Path, manifest: Manifest, resume: bool | str) -> tuple[Path, Manifest]:
    """The folder of a run, and its manifest: of a shard one of its own, unless the whole is in `out` already.

    Raises DissectionError if `out` holds another run, or shards of one.
    """
    if manifest.shard is None:
        return out, manifest
    whole = whole_manifest(manifest)
    if RunFolder(out, whole, resume, joins_shards=True).complete:
        return out, whole
    return shard_folder(out, manifest), manifest


def whole_or_part(out: Path, dissection: Dissection) -> Dissection:
    """What a run's shards make up below a folder, if with this one all of them are done; the dissection before."""
    shard = dissection.manifest.shard
    if shard is None:
        return dissection
    folders = [shards_folder(out) / f"{index}-of-{shard.count}" for index in range(shard.count)]
    manifests = map(read_manifest, folders)
    if any(manifest is None or manifest.state != COMPLETE for manifest in manifests):
        return dissection
    try:
        return join_shards(folders, out)
    except FolderInUse:  # another process, which was done at the same moment, is at it
        return dissection
