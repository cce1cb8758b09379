"""Some frames of the first annotated clips of a stream, which fix the bins that average precision is counted in.

Every run reads these clips first, a shard those of the whole: so all shards count in the same bins.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ..data import Clip, Quarantined
from ..data.tokens import Token
from ..kernels.average_precision import FIRST
from ..model.features import Group
from ..sites.site import Site, clip_frame_unit
from ..speech.annotations import Annotations
from ..statistics.frame_concepts import FrameConcepts, StretchCache, on_stretches
from .session import CollectionPlan

_MOST_CLIPS = 32


class FirstFrames:
    """Takes in batches from the beginning of a stream until the frames are together. See `Session`."""

    def __init__(self, plan: CollectionPlan) -> None:
        assert plan.annotations is not None
        self.annotations: Annotations = plan.annotations
        first = self.annotations.clips[:_MOST_CLIPS]
        self._last, self._each = int(first[-1]), -(-FIRST // len(first))
        self._rows: dict[str, list[tuple[int, Tensor]]] = {site.name: [] for site in plan.sites}
        self._stretches = StretchCache()
        self._clips: Sequence[Clip] = ()
        self.known = False

    def begin_batch(self, clips: Sequence[Clip]) -> None:
        """Nothing is looked up."""

    def begin_group(self, clips: Sequence[Clip], device: torch.device) -> None:
        """Clips that run together."""
        self._clips = clips

    def on_activation(self, site: Site, value: Tensor) -> None:
        """A site's activation: of each annotated clip some stretches, spread evenly."""
        folded = clip_frame_unit(value)
        for row, clip in enumerate(self._clips):
            if clip.id > self._last or clip.id not in self.annotations:
                continue
            stretches = self._stretches.of(site, clip.seconds, folded.shape[1])
            count = min(self._each, len(stretches.first))
            chosen = torch.from_numpy(np.arange(count) * len(stretches.first) // max(1, count))
            own = on_stretches(site.units(folded[row]), stretches)
            self._rows[site.name].append((clip.id, own[chosen.to(own.device)]))

    def end_group(self) -> None:
        """Nothing waits."""

    def read(self, clips: Sequence[Clip], tokens: Sequence[list[Token]]) -> None:
        """None of these."""

    def keep_sounds(self, clips: Sequence[Clip], groups: Sequence[Group]) -> None:
        """None of these."""

    def end_batch(self, end: int, clips: Sequence[Clip], quarantined: Sequence[Quarantined]) -> None:
        """A whole batch; `end` is the stream position after it."""
        self.known = end > self._last

    def fix_bins(self, frames: FrameConcepts) -> None:
        """Fix the bins of all sites."""
        for name, site in frames.sites.items():
            rows = [own for _, own in sorted(self._rows[name], key=lambda pair: pair[0])]
            site.fix_bins(torch.cat(rows).to(frames.device) if rows else torch.empty(0, site.units))
