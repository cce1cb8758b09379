"""What a shard has to know of the first clips of the whole stream, to compare units with concepts as the others do.

All shards measure activations and scores from those of the first clip, and count in bins whose edges the first 256
fix: so their sums add up to those of a run that was not split.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..data import Clip, Quarantined, Source
from ..data.iterables import IterableSource
from ..data.shards import ShardSource
from ..data.tokens import Token
from ..model.features import Group
from ..sites.site import Site
from ..statistics.concepts import ConceptAccumulator
from ..statistics.units import UnitStatistics
from .batch_values import BatchValues
from .collector import BatchCollector
from .session import CollectionPlan


class FirstClips:
    """Takes in batches from the beginning of a stream until their concept statistics can begin. See `Session`."""

    def __init__(self, plan: CollectionPlan) -> None:
        assert plan.scores is not None
        self._values = BatchValues()
        self.statistics = UnitStatistics(plan.widths, k=1, pooling=plan.pool, device=plan.device, observe=self._observe)
        self.concepts = ConceptAccumulator(self.statistics.units, plan.scores, device=plan.device)
        self._collector = BatchCollector(self.statistics)
        self._scores: Tensor | None = None

    @property
    def known(self) -> bool:
        """Whether enough clips came."""
        return self.concepts.begun and (self.concepts.binned or not len(self.concepts.binary))

    def begin_batch(self, clips: Sequence[Clip]) -> None:
        """Raises ConceptError for a clip without scores."""
        self._scores = self.concepts.scores.rows([clip.id for clip in clips])

    def begin_group(self, clips: Sequence[Clip], device: torch.device) -> None:
        """Clips that run together."""
        self._collector.begin([clip.id for clip in clips], [clip.seconds for clip in clips], device)

    def on_activation(self, site: Site, value: Tensor) -> None:
        """A site's activation."""
        self._collector.collect(site, value)

    def end_group(self) -> None:
        """Raises RuntimeError if a site did not fire."""
        self._collector.end()

    def read(self, clips: Sequence[Clip], tokens: Sequence[list[Token]]) -> None:
        """None of these."""

    def keep_sounds(self, clips: Sequence[Clip], groups: Sequence[Group]) -> None:
        """None of these."""

    def end_batch(self, end: int, clips: Sequence[Clip], quarantined: Sequence[Quarantined]) -> None:
        """A whole batch."""
        values = self._values.take()
        if values is not None and self._scores is not None:
            self.concepts.update(values, self._scores)

    def _observe(self, clips: Tensor, values: Tensor) -> None:
        self._values.observe(clips, values)


def needs_first_clips(source: Source, concepts: ConceptAccumulator | None) -> bool:
    """Whether a run over a source has to look at the first clips of the whole. Raises ValueError where it cannot."""
    if concepts is None or concepts.begun or not isinstance(source, ShardSource) or source.has_the_first:
        return False
    if next(source.positions.stretches(0), None) is None:
        return False
    if isinstance(source.source, IterableSource) and source.source.once:
        raise ValueError(
            f"with concepts= every shard begins with the first clips of the stream, and a {source.name} can be read "
            "only once: give a list, a dataset, or an iterable that can be read again"
        )
    return True
