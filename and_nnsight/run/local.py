"""A run on this machine: the model here, its sites, and batch after batch through it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import torch

from ..data import Clip, Source
from ..data.shards import ShardSource
from ..model.adapter import ModelAdapter
from ..model.device_features import featuriser_on
from ..model.devices import dtype_of, to_device
from ..model.features import Features
from ..model.opening import open_model
from ..model.resolving import resolve_sites
from ..sites.site import Site
from ..statistics.concepts import ConceptAccumulator
from .first_clips import FirstClips, needs_first_clips
from .loop import GroupedBatch, run_batches
from .options import RunOptions
from .session import CollectionPlan, Session
from .sounds import Preparation


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

    def stream(self, source: Source, session: Session, options: RunOptions) -> None:
        """Take every clip from the last checkpoint on into the session, with a checkpoint now and then."""
        work = _Collection(self.model, self.sites, session, self.model.device)
        featuriser = featuriser_on(self.model.featuriser, self.model.device)
        prepare = None if session.sounds is None else Preparation(featuriser)
        with (
            session.streaming() as start,
            closing(run_batches(source, featuriser, options, work, start=start, prepare=prepare)) as positions,
        ):
            if needs_first_clips(source, session.concepts):
                session.begin_concepts_as(self._first_clips(source, session.plan, options))
            for _ in positions:
                session.checkpoint_if_due()

    def _first_clips(self, source: Source, plan: CollectionPlan, options: RunOptions) -> ConceptAccumulator:
        """The concept statistics of the first clips of the whole that a shard is a part of."""
        first = FirstClips(plan)
        work = _Collection(self.model, self.sites, first, self.model.device)
        whole = source.source if isinstance(source, ShardSource) else source
        title = "first clips"
        with closing(run_batches(whole, self.model.featuriser, options, work, title=title)) as positions:
            for _ in positions:
                if first.known:
                    break
        return first.concepts


@dataclass(frozen=True)
class _Collection:
    """The work on a batch: its groups through the model, their activations into the session."""

    model: ModelAdapter
    sites: tuple[Site, ...]
    session: Session | FirstClips
    device: torch.device

    def begin_batch(self, batch: GroupedBatch) -> None:
        self.session.begin_batch(batch.clips)

    def run_group(self, clips: Sequence[Clip], features: Features) -> None:
        self.session.begin_group(clips, self.device)
        self.model.run(self.sites, to_device(features, self.device), self.session.on_activation)
        self.session.end_group()

    def end_batch(self, batch: GroupedBatch) -> None:
        self.session.keep_sounds(batch.clips, batch.inputs or ())
        self.session.end_batch(batch.position + batch.size, batch.clips, batch.quarantined)


def open_local(model: Any, sites: str | Iterable[str], pool: str, options: RunOptions) -> LocalTarget:
    """The model with its weights, and its sites. Raises SiteError for sites, ValueError for what is no model."""
    adapter = open_model(model, options.device, options.dtype)
    return LocalTarget(adapter, resolve_sites(adapter, sites, pool))
