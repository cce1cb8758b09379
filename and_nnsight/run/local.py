"""A run on this machine: the model here, its sites, and batch after batch through it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import torch

from ..data import Clip, Source
from ..data.shards import ShardSource
from ..data.workers import import_for_workers
from ..model.adapter import ModelAdapter
from ..model.device_features import featuriser_on
from ..model.devices import dtype_of, to_device
from ..model.features import Features
from ..model.opening import open_model
from ..model.readers.options import AS_USUAL, ReaderOptions
from ..model.resolving import resolve_sites
from ..sites.site import Site
from ..statistics.concepts import ConceptAccumulator
from .first_clips import FirstClips, needs_first_clips
from .first_frames import FirstFrames
from .look_ahead import LookAhead
from .loop import GroupedBatch, run_batches
from .options import RunOptions
from .session import CollectionPlan, Session
from .sounds import Preparation

_FOR_WORKERS = (
    "and_nnsight.data.batching", "and_nnsight.model.features", "transformers.feature_extraction_utils",
    "transformers.audio_utils",
)  # fmt: skip
"""What every worker imports that makes features: torch and transformers' feature extractors, with their libraries."""


@dataclass(frozen=True)
class LocalTarget:
    """A model that runs here, and its sites in the order in which they fire."""

    model: ModelAdapter
    sites: tuple[Site, ...]

    @property
    def dtype(self) -> str | None:
        """The dtype that the model computes in."""
        return str(dtype_of(self.model.wrapped)).removeprefix("torch.")

    @property
    def statistics_device(self) -> torch.device:
        """Where statistics are added up: the model's device, or the CPU where it has no float64 (Apple's GPUs)."""
        device = self.model.device
        return torch.device("cpu") if device.type == "mps" else device

    def describe(self) -> dict[str, Any]:
        """What the manifest says of the model."""
        return self.model.describe()

    def negotiate(self) -> LocalTarget:
        """Ready as it is."""
        return self

    def unit(self, batch_size: int) -> int:
        """Positions of the stream that are worked on as one: shards are to begin at their multiples."""
        ahead = self._look_ahead(batch_size)
        return batch_size if ahead is None else ahead.clips

    def _look_ahead(self, batch_size: int) -> LookAhead | None:
        device = self.model.device
        return LookAhead.of(featuriser_on(self.model.featuriser, device), device, batch_size)

    def stream(self, source: Source, session: Session, options: RunOptions) -> None:
        """Take every clip from the last checkpoint on into the session, with a checkpoint now and then."""
        work = _Collection(self.model, self.sites, session, self.model.device)
        featuriser = featuriser_on(self.model.featuriser, self.model.device)
        prepare = None if session.sounds is None else Preparation(featuriser)
        ahead = self._look_ahead(options.batch_size)
        with (
            session.streaming() as start,
            closing(
                run_batches(source, featuriser, options, work, start=start, prepare=prepare, look_ahead=ahead)
            ) as positions,
        ):
            if needs_first_clips(source, session.concepts):
                session.begin_concepts_as(self._first_clips(source, session.plan, options))
            self._fix_bins(source, session, options)
            for _ in positions:
                session.checkpoint_if_due()

    def _first_clips(self, source: Source, plan: CollectionPlan, options: RunOptions) -> ConceptAccumulator:
        """The concept statistics of the first clips of the whole that a shard is a part of."""
        first = FirstClips(plan)
        self._look_at(source, first, options, "first clips")
        return first.concepts

    def _fix_bins(self, source: Source, session: Session, options: RunOptions) -> None:
        """Fix the bins that annotations are counted in, by the first annotated clips of the whole."""
        if session.frames is None or session.frames.begun:
            return
        first = FirstFrames(session.plan)
        self._look_at(source, first, options, "first annotated clips")
        first.fix_bins(session.frames)

    def _look_at(self, source: Source, first: FirstClips | FirstFrames, options: RunOptions, title: str) -> None:
        """Take the first clips of the whole into what has to know them, until it does."""
        work = _Collection(self.model, self.sites, first, self.model.device)
        whole = source.source if isinstance(source, ShardSource) else source
        featuriser = featuriser_on(self.model.featuriser, self.model.device)
        ahead = self._look_ahead(options.batch_size)
        batches = run_batches(whole, featuriser, options, work, title=title, look_ahead=ahead)
        with closing(batches) as positions:
            for _ in positions:
                if first.known:
                    break


@dataclass(frozen=True)
class _Collection:
    """The work on a batch: its groups through the model, their activations into the session."""

    model: ModelAdapter
    sites: tuple[Site, ...]
    session: Session | FirstClips | FirstFrames
    device: torch.device

    def begin_batch(self, batch: GroupedBatch) -> None:
        self.session.begin_batch(batch.clips)

    def run_group(self, clips: Sequence[Clip], features: Features) -> None:
        for rows, inputs, tokens in self.model.forwards(clips, to_device(features, self.device)):
            together = [clips[row] for row in rows]
            self.session.begin_group(together, self.device)
            self.model.run(self.sites, inputs, self.session.on_activation)
            self.session.end_group()
            if tokens is not None:
                self.session.read(together, tokens)

    def end_batch(self, batch: GroupedBatch) -> None:
        self.session.keep_sounds(batch.clips, batch.inputs or ())
        self.session.end_batch(batch.position + batch.size, batch.clips, batch.quarantined)


def open_local(
    model: Any,
    sites: str | Iterable[str],
    pool: str,
    options: RunOptions,
    part: str | None = None,
    reads: ReaderOptions = AS_USUAL,
) -> LocalTarget:
    """The model, or its part, with its weights and sites. Raises SiteError for sites, ValueError for no model."""
    if options.num_workers:
        import_for_workers(_FOR_WORKERS)  # the weights are loaded meanwhile
    adapter = open_model(model, options.device, options.dtype, part, reads)
    return LocalTarget(adapter, resolve_sites(adapter, sites, pool))
