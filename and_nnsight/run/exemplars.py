"""Keep the sounds of units' exemplars, and the units' activations over them, in a dissection's folder."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from rich.filesize import decimal as readable
from torch import Tensor

from ..audio.flac import decode_flac, encode_flac
from ..data import Batch, Clip, Item, Quarantined
from ..data.items import Unused
from ..dissection.clip_source import dissected_items
from ..dissection.curves import SiteCurves, write_curves
from ..dissection.dissection import Dissection
from ..dissection.errors import DissectionError
from ..dissection.exemplar_store import ExemplarStore
from ..dissection.files import curves_file, curves_folder, sound_file, sounds_folder
from ..dissection.moments import token_stretches
from ..kernels.surroundings import plain_torch
from ..model.device_features import featuriser_on
from ..model.devices import to_device
from ..model.features import Features, Featuriser, Group
from ..model.restoring import eval_mode, preserves_model
from ..progress import ClipProgress
from ..sites.geometry import Tokens
from ..sites.site import Site, clip_frame_unit
from ..sites.stretches import Stretches
from ..storage import locked, make_folder, written_whole
from ..wording import counted
from .dissected_model import named_model, same_target
from .exemplar_plan import (
    ExemplarPlan,
    UnitName,
    bytes_of,
    disk_needed,
    exemplar_clips,
    unit_pairs,
    what_is_lacking,
)
from .local import LocalTarget
from .loop import prepared_batches
from .options import RunOptions

Prepared = tuple[tuple[bytes, ...], tuple[Group, ...]]
"""The sounds of a batch's clips as FLAC, and the model's inputs of what these hold."""


@dataclass(frozen=True)
class StoredExemplars:
    """What `keep_exemplars` has seen to: how many clips' sounds and units' curves over them are there now.

    bytes     of all that is in the folder, other units' included
    failures  clips that could not be read again, and why: nothing is there of them
    """

    units: int
    clips: int
    curves: int
    bytes: int
    failures: tuple[Quarantined, ...] = ()

    def __str__(self) -> str:
        what = f"{counted(self.clips, 'sound')} and {counted(self.curves, 'curve')} of {counted(self.units, 'unit')}"
        failed = f"; {counted(len(self.failures), 'clip')} could not be read again" if self.failures else ""
        return f"{what}, {readable(self.bytes)} in all{failed}"

    def __repr__(self) -> str:
        return f"StoredExemplars({self})"


@plain_torch()
def keep_exemplars(
    dissection: Dissection,
    units: Iterable[UnitName],
    model: Any = None,
    data: Any = None,
    *,
    most: int | None = None,
    batch_size: int = 8,
    num_workers: int = 0,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    progress: bool = True,
) -> StoredExemplars:
    """Keep the sound of units' top and bottom exemplars, and each unit's activation over the time of them.

    Each clip is read again, held against the hash of its samples in the dissection, and written once: FLAC at the rate
    of the model and up to its window, which is what the model heard (16 bits where that is exact, else 24). The model
    runs once over each clip, for all units together; the curves are of the sounds as they are written. What is there
    already is not made again, so the same call goes on where one was interrupted, and others add to it. The room that
    it takes on the disk is said before.

    units       units of the dissection: (site, index), "SITE:INDEX", or Unit
    model       what was dissected; None: opened by the name that it has in the dissection
    data        what was dissected, where the clips have no files that are still there: a generator given anew, for
                example. Clips whose sound was kept already are not needed
    most        exemplars at either end of each unit; None: all that the dissection has
    batch_size, num_workers, device, dtype, progress   as for `dissect`

    Clips that cannot be read again, or are not what was dissected, are in `failures`, with a warning.

    Raises DissectionError for units that do not exist, another model, other data, or a folder that another process
    writes to; ValueError where there is not the room on the disk, and for a model that cannot be opened.
    """
    if most is not None and most < 1:
        raise ValueError(f"most must be at least 1, it is {most}")
    options = RunOptions(device, dtype, batch_size, num_workers, progress)
    pairs = unit_pairs(dissection.widths(), units)
    wanted = exemplar_clips(dissection, pairs, most)
    failures = keep_clips(dissection, wanted, model, data, options)
    kept = [sites for clip, sites in wanted.items() if clip not in {failure.clip for failure in failures}]
    curves = sum(len(of_site) for sites in kept for of_site in sites.values())
    return StoredExemplars(len(pairs), len(kept), curves, bytes_of(dissection.folder / "exemplars"), failures)


def keep_clips(
    dissection: Dissection,
    wanted: Mapping[int, Mapping[str, Iterable[int]]],
    model: Any,
    data: Any,
    options: RunOptions,
) -> tuple[Quarantined, ...]:
    """Keep the sounds of clips, and the activations of units over them. Gives the clips that could not be read.

    wanted  clip by clip, ascending, the units, by site (see `exemplar_clips`, `clips_of`)

    Warns of clips that could not be read; raises what `keep_exemplars` does.
    """
    dissection.check_writable()
    for path in (sounds_folder(dissection.folder), curves_folder(dissection.folder)):
        make_folder(path, DissectionError)
    failures: tuple[Quarantined, ...] = ()
    try:
        lock = locked(dissection.folder / "exemplars" / ".lock")
    except BlockingIOError as error:
        raise DissectionError(str(error)) from error
    try:
        plan = what_is_lacking(dissection.exemplars(), wanted)
        if plan.curves:
            failures = _fill(named_model(dissection, model), dissection, plan, data, options)
    finally:
        lock.close(remove=True)
    _warn_of(failures)
    return failures


@preserves_model
def _fill(
    model: Any, dissection: Dissection, plan: ExemplarPlan, data: Any, options: RunOptions
) -> tuple[Quarantined, ...]:
    """Keep what a plan says. Gives the clips that could not be read."""
    sites = [site for site in dissection.sites if any(site in curves for curves in plan.curves.values())]
    target = same_target(model, dissection, sites or list(dissection.sites[:1]), options)
    featuriser = target.model.featuriser
    line = disk_needed(dissection, plan, featuriser.sampling_rate, featuriser.window_seconds)
    if options.progress:
        print(line, file=sys.stderr)
    with eval_mode(target.model.wrapped):
        return ExemplarPass(dissection, plan, target).over(data, options)


def _warn_of(failures: Sequence[Quarantined]) -> None:
    if failures:
        first = failures[0]
        warnings.warn(
            f"{counted(len(failures), 'exemplar')} could not be kept, the first {first.path or f'clip {first.clip}'}: "
            f"{first.reason}",
            stacklevel=4,
        )


@dataclass
class ExemplarPass:
    """One pass over the clips of a plan: their sounds and curves are written batch by batch."""

    dissection: Dissection
    plan: ExemplarPlan
    target: LocalTarget
    failures: list[Quarantined] = field(default_factory=list)

    def over(self, data: Any, options: RunOptions) -> tuple[Quarantined, ...]:
        """Read the clips, from the store where it has their sound, and keep what the plan says."""
        source = ChosenClips(self.dissection, self.plan, data)
        featuriser = featuriser_on(self.target.model.featuriser, self.target.model.device)
        batches = prepared_batches(source, featuriser, Preparation(featuriser), options, 0)
        with closing(batches), ClipProgress(source.length, 0, options.progress, "keeping exemplars") as bar:
            for batch in batches:
                self._keep(batch, featuriser)
                bar.advance(batch.size, len(batch.quarantined))
        return tuple(self.failures)

    def _keep(self, batch: Batch[Prepared], featuriser: Featuriser) -> None:
        self.failures += batch.quarantined
        if batch.inputs is None:
            return
        sounds, groups = batch.inputs
        curves: dict[int, dict[str, SiteCurves]] = {}
        for group in groups:
            curves |= self._curves([batch.clips[row] for row in group.rows], featuriser.ready(group))
        for clip, sound in zip(batch.clips, sounds, strict=True):
            if not self._is_same(clip):
                continue
            if clip.id in self.plan.sounds:
                self._add_sound(clip.id, sound)
            if curves.get(clip.id):
                self._add_curves(clip.id, curves[clip.id])

    def _add_sound(self, clip: int, sound: bytes) -> None:
        with written_whole(sound_file(self.dissection.folder, clip)) as path:
            path.write_bytes(sound)

    def _is_same(self, clip: Clip) -> bool:
        """Whether a clip is the one that was dissected; where it is not, it is noted."""
        row = self.dissection.clips[clip.id]
        if clip.id not in self.plan.sounds or row.content in (None, clip.content):
            return True
        reason = "is not the clip that was dissected: its samples are others"
        self.failures.append(Quarantined(clip.id, clip.path or row.path, reason))
        return False

    def _curves(self, clips: Sequence[Clip], inputs: Features) -> dict[int, dict[str, SiteCurves]]:
        """Run clips that may share a forward: the curves of the units that want them.

        Those that are wanted for early sites only run no further than these: the rest of the model is most of its cost.
        """
        by_depth: dict[int, list[int]] = {}
        for row, clip in enumerate(clips):
            wanted = self.plan.curves[clip.id]
            depths = [depth for depth, site in enumerate(self.target.sites) if site.name in wanted]
            if depths:
                by_depth.setdefault(depths[-1], []).append(row)
        curves: dict[int, dict[str, SiteCurves]] = {clip.id: {} for clip in clips}
        for rows in by_depth.values():
            features = inputs if len(rows) == len(clips) else _rows_of(inputs, rows)
            self._run_rows([clips[row] for row in rows], features, curves)
        return curves

    def _run_rows(self, clips: Sequence[Clip], inputs: Features, curves: dict[int, dict[str, SiteCurves]]) -> None:
        """Run clips that want units of the same depth, each with the text that it was dissected with."""
        model, known = self.target.model, [self.dissection.clips[clip.id] for clip in clips]
        for rows, features, _ in model.forwards(known, to_device(inputs, model.device)):
            self._run([clips[row] for row in rows], features, curves)

    def _run(self, clips: Sequence[Clip], features: Features, curves: dict[int, dict[str, SiteCurves]]) -> None:
        """Run clips up to the last site that one of them is wanted for, and add their curves."""
        wanted = [self.plan.curves[clip.id] for clip in clips]
        seconds = [self.dissection.clips[clip.id].seconds for clip in clips]
        tokens = [self.dissection.clips[clip.id].tokens for clip in clips]

        def collect(site: Site, value: Tensor) -> None:
            activations = clip_frame_unit(value)
            geometry = self.dissection.geometry(site.name)
            for row, clip in enumerate(clips):
                if units := wanted[row].get(site.name):
                    chosen = site.chosen(activations[row], units).float().cpu().numpy()
                    stretches = Stretches.of(geometry, seconds[row], len(chosen))
                    start, stop = stretches.start, stretches.stop
                    if isinstance(geometry, Tokens):
                        start, stop = token_stretches(tokens[row], len(start), seconds[row])
                    numbers, largest = np.array(units, np.int64), stretches.maxima(chosen).T
                    curves[clip.id][site.name] = SiteCurves(numbers, start, stop, largest)

        sites = [site for site in self.target.sites if any(site.name in of_clip for of_clip in wanted)]
        with torch.no_grad():
            self.target.model.run(sites, features, collect)

    def _add_curves(self, clip: int, curves: dict[str, SiteCurves]) -> None:
        there = self.dissection.exemplars().curves.of_clip(clip)
        joined = {site: there[site].joined(one) if site in there else one for site, one in curves.items()}
        write_curves(curves_file(self.dissection.folder, clip), {**there, **joined})


def _rows_of(features: Features, rows: Sequence[int]) -> Features:
    """The model inputs of some clips of a batch."""
    return {name: value[list(rows)] for name, value in features.items()}


@dataclass(frozen=True)
class Preparation:
    """Waveforms to sounds, and to the model's inputs of what these hold. Picklable: it runs in worker processes."""

    featuriser: Featuriser

    def __call__(self, waveforms: Sequence[np.ndarray]) -> Prepared:
        """Raises AudioError for a waveform that cannot be kept, or is too short for the model."""
        sounds = tuple(encode_flac(waveform, self.featuriser.sampling_rate) for waveform in waveforms)
        return sounds, self.featuriser.groups([decode_flac(sound)[0] for sound in sounds])


class ChosenClips:
    """The clips of a plan, ascending, as a source: from the store where it has their sound, else from the data."""

    kind, split = "exemplars", None
    unused: tuple[Unused, ...] = ()

    def __init__(self, dissection: Dissection, plan: ExemplarPlan, data: Any) -> None:
        """Raises DissectionError if clips are in no file that is still there, and data is not what was dissected."""
        self._store: ExemplarStore = dissection.exemplars()
        self._clips, self._sounds = plan.clips, plan.sounds
        self._read = dissected_items(dissection, sorted(plan.sounds), data)
        self.name, self.length = str(dissection.folder), len(plan.clips)
        self.fingerprint = dissection.manifest.dataset.fingerprint

    def items(self, start: int = 0) -> Iterator[Item]:
        """The clips, once; `start` is not used."""
        for clip in self._clips:
            if clip in self._sounds:
                yield next(self._read)
            else:
                samples, rate = self._store.audio(clip)
                yield Item(clip, {"array": samples, "sampling_rate": rate})
