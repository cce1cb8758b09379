"""What a site's units do on the held-out clips, as the tests take it: no claim has a part in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor

from ...dissection.dissection import Dissection
from .baselines import NULLS, Measured, features, filled
from .held_out import HeldOutClips
from .metrics import average_precisions, clips_of, correlations, places, positives, standardised
from .permutation import BeyondNulls, beyond_nulls, unit_ways

_ELEMENTS = 1 << 20  # units × clips that are measured together: bounds the memory


class HeldOutSite:
    """What the units of a site do on the held-out clips, and how well the nulls tell."""

    def __init__(
        self,
        held_out: Dissection,
        site: str,
        clips: HeldOutClips,
        measured: Measured,
        means: Float32[Tensor, " null"],
        fits: np.ndarray,
        share: float,
        device: str | torch.device | None,
    ) -> None:
        self.site, self.clips, self.share = site, clips, share
        self.device = torch.device(device or "cpu")
        activations = held_out.activations(site)
        assert activations is not None  # checked before
        row_of = {clip: row for row, clip in enumerate(held_out.clips)}
        values = torch.from_numpy(activations[[row_of[clip] for clip in clips.clips]])
        self.activations = values.T.contiguous().to(self.device)
        self.nulls = filled(features(measured, clips.clips), means).to(self.device)
        self.signs = torch.from_numpy(np.where(fits < 0, -1, 1)).to(self.device)
        self.best = torch.from_numpy(np.abs(fits).argmax(1)).to(self.device)

    def parts(self, units: Sequence[int]) -> Iterator[HeldOutUnits]:
        """Units, a few at a time."""
        step = max(1, _ELEMENTS // max(1, self.activations.shape[1]))
        for start in range(0, len(units), step):
            yield HeldOutUnits(self, units[start : start + step])


class HeldOutUnits:
    """Some units of a site, in groups that are finite on the same clips: mostly it is one, and all clips."""

    def __init__(self, held_out: HeldOutSite, units: Sequence[int]) -> None:
        indices = torch.tensor(units, dtype=torch.int64, device=held_out.device)
        self._units = frozenset(units)
        patterns, which = held_out.activations[indices].isfinite().unique(dim=0, return_inverse=True)
        self.groups = [
            UnitGroup(held_out, indices[which == number], pattern.nonzero()[:, 0])
            for number, pattern in enumerate(patterns)
        ]

    def __contains__(self, unit: int) -> bool:
        return unit in self._units


class UnitGroup:
    """Units that are finite on the same clips.

    clips  those clips, by place
    place  of each unit in the group
    """

    def __init__(self, held_out: HeldOutSite, units: Int64[Tensor, " unit"], clips: Int64[Tensor, " clip"]) -> None:
        self._held_out, self._units, self.clips = held_out, units, clips
        self.place: Mapping[int, int] = {unit: place for place, unit in enumerate(units.tolist())}

    @cached_property
    def measures(self) -> UnitMeasures:
        """What is measured of them, once for the claims of every source."""
        held_out = self._held_out
        values, nulls = held_out.activations[self._units][:, self.clips], held_out.nulls[:, self.clips]
        signs = held_out.signs[self._units]
        chosen = positives(values, held_out.share)
        firing, rows, ways = clips_of(chosen), standardised(values), unit_ways(values, chosen)
        ranked_nulls = places(torch.cat([nulls, -nulls]))
        of_nulls = [
            average_precisions(ranked_nulls, null + len(NULLS) * (signs[:, null] < 0), firing)
            for null in range(len(NULLS))
        ]
        return UnitMeasures(
            positives=chosen.sum(1).tolist(),
            firing=firing,
            standardised=rows,
            ways=ways,
            beyond=beyond_nulls(ways, nulls, signs),
            null_pearson=correlations(standardised(nulls), rows) * signs,
            null_auprc=torch.stack(of_nulls, 1),
        )


@dataclass(frozen=True, eq=False)
class UnitMeasures:
    """Units on clips on which they are finite.

    positives     how many clips are in each unit's top share; `firing`: which, filled up with −1
    standardised  their values; `ways`, `beyond`: what the tests permute
    null_pearson, null_auprc   of each unit, how well each null tells it
    """

    positives: list[int]
    firing: Int64[Tensor, "unit most"]
    standardised: Float32[Tensor, "unit clip"]
    ways: Float32[Tensor, "way unit clip"]
    beyond: BeyondNulls
    null_pearson: Float[Tensor, "unit null"]
    null_auprc: Float[Tensor, "unit null"]
