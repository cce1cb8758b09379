"""One batch on its way through a model: which clips its rows are, and which frames of each site count."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from ..kernels.latents import frames_that_count
from ..sites.site import Site, clip_frame_unit, frame_mask
from ..statistics.frame_concepts import FrameConcepts
from ..statistics.units import UnitStatistics

_KEPT_MASKS = 64


class BatchCollector:
    """Feeds sites' activations to the statistics, group after group, which are updated once a batch.

    Frame masks are worked out on the CPU from the clips' lengths and kept on the device, so that batches of clips of
    the same lengths (most datasets) copy nothing.
    """

    def __init__(self, statistics: UnitStatistics, frames: FrameConcepts | None = None) -> None:
        """`frames` take in every activation too, frame by frame."""
        self.statistics, self.frames = statistics, frames
        self._highest = statistics.highest_clip()
        self._positions: tuple[int, ...] = ()
        self._of_batch: list[int] = []
        self.seconds: tuple[float, ...] = ()
        self.device = torch.device("cpu")
        self.clip_ids: Int64[Tensor, " clip"] = torch.empty(0, dtype=torch.int64)
        self._masks: OrderedDict[object, Tensor] = OrderedDict()

    def begin(self, clip_ids: Sequence[int], seconds: Sequence[float], device: torch.device) -> None:
        """Begin a group: the ids and lengths in seconds of its rows, and where its activations will be."""
        self.seconds, self._positions = tuple(seconds), tuple(clip_ids)
        self.device = device
        ids = torch.tensor(list(clip_ids), dtype=torch.int64)
        if device.type == "cuda":
            ids = ids.pin_memory().to(device, non_blocking=True)
        self.clip_ids = ids

    def collect(self, site: Site, value: Tensor) -> None:
        """Take in a site's activation, as `Site.fold` returns it."""
        activations = clip_frame_unit(value)
        if activations.device != self.device:  # a model that lies on several devices
            activations = activations.to(self.device)
        mask = self._mask(site, activations.shape[1])
        if site.dictionary is None:
            self.statistics.update(site.name, activations, self.clip_ids, mask)
            if self.frames is not None:
                self.frames.update(site, [activations], self._positions, self.seconds)
            return
        frames = frames_that_count(mask)  # a window's padding is not worth encoding
        parts = site.parts(activations[:, :frames])
        if self.frames is not None:
            parts = self.frames.passing(site, parts, self._positions, self.seconds)
        self.statistics.update_parts(site.name, parts, self.clip_ids, mask[:, :frames])

    def end_group(self) -> None:
        """All sites of a group have come; it waits for the batch's others. Raises RuntimeError if one did not fire."""
        self.statistics.finish_group(self._positions)
        self._of_batch += self._positions

    def end_batch(self) -> None:
        """Update the statistics from the groups that have ended since the last batch, if there are any."""
        clips, self._of_batch = self._of_batch, []
        if not clips:
            return
        ordered = sorted(clips) if self._positions != tuple(clips) else clips  # several groups are sorted by id
        in_order = all(low < high for low, high in pairwise([self._highest, *ordered]))
        self._highest = max(self._highest, *clips)
        self.statistics.finish_batch(in_order=in_order)

    def end(self) -> None:
        """Update the statistics from a batch that is one group. Raises RuntimeError if a site did not fire."""
        self.end_group()
        self.end_batch()

    def _mask(self, site: Site, frames: int) -> Bool[Tensor, "clip frame"]:
        key = (site.geometry, frames, self.seconds, self.device)
        if key not in self._masks:
            mask = frame_mask(site, self.seconds, frames)
            if self.device.type == "cuda":
                mask = mask.pin_memory().to(self.device, non_blocking=True)
            self._masks[key] = mask
            if len(self._masks) > _KEPT_MASKS:
                self._masks.popitem(last=False)
        self._masks.move_to_end(key)
        return self._masks[key]
