"""What a run keeps from its first batch to its last, and when it may be written down."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..data import Clip, Quarantined
from ..data.tokens import Token
from ..model.features import Group
from ..sites.site import Site
from ..speech.annotations import Annotations
from ..statistics.concept_scores import ConceptScores
from ..statistics.concepts import ConceptAccumulator
from ..statistics.frame_concepts import FrameConcepts
from ..statistics.units import UnitStatistics
from .batch_values import BatchValues
from .collector import BatchCollector
from .folder import RunFolder
from .sounds import SoundChoice, SoundKeeper, settings_file

CHECKPOINT_SECONDS = 20.0  # from one checkpoint to the next
_FIRST, _GROWTH = 0.25, 1.5  # shares of that: the first comes sooner, since a run may be killed at any age
_COST = 3.0  # such pauses for each second that a checkpoint takes: no more than 1.7 % of the time goes into them
CHECKPOINT_ROWS = 8_192  # clips whose rows wait in memory


@dataclass(frozen=True)
class CollectionPlan:
    """What a run is to keep of every unit.

    sites             sites in the order in which they fire
    k, pool           clips kept at either end of each unit; how a clip's frames become one value
    device            where it is added up
    window_seconds    what the model takes of a clip at most, from its start; None: all of it
    scores            scores of clips for concepts that every unit is compared with
    keep_activations  whether every clip's pooled values are written down
    sounds            of which lists the clips' sounds are kept; None: of none
    annotations       annotations of clips that every unit is compared with, frame by frame
    """

    sites: tuple[Site, ...]
    k: int
    pool: str
    device: torch.device
    window_seconds: float | None = None
    scores: ConceptScores | None = None
    keep_activations: bool = False
    sounds: SoundChoice | None = None
    annotations: Annotations | None = None

    @property
    def widths(self) -> Mapping[str, int]:
        """Units of each site."""
        return {site.name: site.width for site in self.sites}

    @property
    def units(self) -> int:
        """Units of all sites."""
        return sum(self.widths.values())


class Session:
    """The statistics of a run, how its units go with concepts and their values (both if asked for), and its folder.

    Its life, and what an interruption at each point leaves in the folder, from which the same call goes on:

    with streaming()     the last checkpoint is loaded               that checkpoint
    begin_batch          the scores of its clips are looked up       everything up to the batch before it
      begin_group        per group of clips that run together        the same
      on_activation      each site, as the model gives it            the same; with annotations, which take each clip's
                         frames in at once, the last checkpoint
      end_group          its pooled values wait                      the same
    keep_sounds          the statistics have the batch's clips, and  the last checkpoint: the batch is half done
                         sounds of those in a list are in the folder
    end_batch            concepts, values and rows have them too     everything up to this batch
    checkpoint           all of it is on the disk                    everything up to this batch
    finish               the results are written                     the last checkpoint, or the whole

    A server's jobs come between `begin_batch` and `end_batch` as statistics of their own, by `merge`. Within
    `streaming`, an error or an interruption writes a checkpoint if all parts end at the same batch. The folder must be
    open (locked) all along.
    """

    def __init__(self, folder: RunFolder, plan: CollectionPlan) -> None:
        self.folder, self.plan = folder, plan
        observe = self._observe if plan.scores is not None or plan.keep_activations else None
        self.statistics = UnitStatistics(plan.widths, k=plan.k, pooling=plan.pool, device=plan.device, observe=observe)
        units = self.statistics.units
        self.concepts = None if plan.scores is None else ConceptAccumulator(units, plan.scores, device=plan.device)
        self.frames = None
        if plan.annotations is not None:
            self.frames = FrameConcepts(plan.widths, plan.annotations, plan.device)
        self.sounds = None if plan.sounds is None else SoundKeeper(folder.folder, plan.sounds, self.statistics)
        self._collector = BatchCollector(self.statistics, self.frames)
        self._batch_scores: Tensor | None = None
        self._values = BatchValues()
        self._tokens: dict[int, list[Token]] = {}
        self._whole = True  # whether all parts end at the same batch: only then may they be written
        self._saved_at, self._share = time.monotonic(), _FIRST

    @contextmanager
    def streaming(self) -> Iterator[int]:
        """Load the last checkpoint; gives the stream position to go on at. Raises DissectionError if it is damaged."""
        start = self.folder.restore(self.statistics, self.concepts, self.frames)
        self._collector = BatchCollector(self.statistics, self.frames)  # it goes on after the highest clip
        if self.sounds is not None:
            self.sounds.restore()
        else:
            settings_file(self.folder.folder).unlink(missing_ok=True)  # from here on sounds are not kept
        self._saved_at = time.monotonic()
        try:
            yield start
        except BaseException:
            if self._whole:
                self.checkpoint()
            raise

    def begin_concepts_as(self, first: ConceptAccumulator) -> None:
        """Measure and count as concept statistics that have seen the first clips of the stream."""
        if self.concepts is not None:
            self.concepts.begin_as(first)

    # -- a batch ---------------------------------------------------------------------------------------------------

    def begin_batch(self, clips: Sequence[Clip]) -> None:
        """Begin a batch of these clips. Raises ConceptError, naming it, for one without scores."""
        if self.concepts is not None:
            self._batch_scores = self.concepts.scores.rows([clip.id for clip in clips])

    def begin_group(self, clips: Sequence[Clip], device: torch.device) -> None:
        """Begin a group: the clips that are the rows of the next activations, and the device of those."""
        self._collector.begin([clip.id for clip in clips], [clip.seconds for clip in clips], device)

    def on_activation(self, site: Site, value: Tensor) -> None:
        """Take in a site's activation, as `Site.fold` returns it."""
        self._whole = self._whole and self.frames is None
        self._collector.collect(site, value)

    def end_group(self) -> None:
        """All sites of the group have come. Raises RuntimeError if one did not fire."""
        self._collector.end_group()

    def read(self, clips: Sequence[Clip], tokens: Sequence[list[Token]]) -> None:
        """Note the tokens that were read while clips of the batch were heard: what their frames are."""
        self._tokens |= {clip.id: text for clip, text in zip(clips, tokens, strict=True)}

    def _take_in(self) -> None:
        """Update the statistics from the batch's groups: once, for lists of all units are costly to merge."""
        self._whole = False
        self._collector.end_batch()

    def merge(self, statistics: UnitStatistics) -> None:
        """Take in the statistics of clips that were collected elsewhere."""
        self._whole = False
        self.statistics.merge(statistics)

    def keep_sounds(self, clips: Sequence[Clip], groups: Sequence[Group]) -> None:
        """Keep the sounds of a batch's clips that are wanted. Comes when all its groups have run."""
        if self.sounds is not None:
            self._take_in()
            self.sounds.saw(clips, groups)

    def end_batch(self, end: int, clips: Sequence[Clip], quarantined: Sequence[Quarantined]) -> None:
        """All of a batch is done; `end` is the stream position after it."""
        self._take_in()
        self._keep_values()
        self.statistics.leave_out(clip.clip for clip in quarantined)
        texts, self._tokens = self._tokens, {}
        read = [replace(clip, tokens=texts[clip.id]) if clip.id in texts else clip for clip in clips]
        self.folder.saw(end, read, quarantined, self._truncated(clips))
        self._whole = True

    def _observe(self, clips: Tensor, values: Tensor) -> None:
        self._values.observe(clips, values)

    def _keep_values(self) -> None:
        """Take in the pooled values of a whole batch, in the order of the stream."""
        values = self._values.take()
        if values is None:
            return
        if self.concepts is not None and self._batch_scores is not None:
            self.concepts.update(values, self._batch_scores)
        self.folder.keep(values)

    def _truncated(self, clips: Sequence[Clip]) -> int:
        """How many clips are longer than what the model takes of them."""
        window = self.plan.window_seconds
        return 0 if window is None else sum(clip.seconds > window for clip in clips)

    # -- the folder ------------------------------------------------------------------------------------------------

    def checkpoint(self) -> None:
        """Make everything up to the last batch survive."""
        self.folder.checkpoint(self.statistics, self.concepts, self.frames)
        if self.sounds is not None:
            self.sounds.prune()

    def checkpoint_if_due(self) -> None:
        """A checkpoint, if the last one is some time ago or many rows wait in memory."""
        began = time.monotonic()
        crowded = self.folder.pending > CHECKPOINT_ROWS or (self.sounds is not None and self.sounds.is_due)
        if began - self._saved_at <= CHECKPOINT_SECONDS * self._share and not crowded:
            return
        self.checkpoint()
        self._saved_at = time.monotonic()
        self._share = max(min(1.0, _GROWTH * self._share), _COST * (self._saved_at - began))

    def finish(self) -> None:
        """Write the results. Raises DissectionError if no clip could be used."""
        if self.sounds is not None:
            self.checkpoint()
        sounds = None if self.plan.sounds is None else self.plan.sounds.to_json()
        self.folder.finish(self.statistics, self.concepts, self.frames, sounds)
