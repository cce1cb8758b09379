"""Exemplars, and which of them are evidence of what their unit responds to: the one home of that rule.

An exemplar is evidence if it is

decided   its value is not the one at which the list is cut: a tie that reaches the border is cut by the order of the
          files, and says nothing of the unit (a rectified unit that fires on three clips has a top-5 filled with zeros)
strong    it lies at least a fifth (`WEAKEST`) as far from the unit's mean as the most extreme clip does
new       its samples are not those of an earlier exemplar: byte-identical clips count once
on        after a smooth rectifier (GELU, SiLU) a top clip does not lie below zero: towards −0 from below the unit is
          ever more firmly off, so the highest clips of one that never fires are those that it is least for

The list is cut at as many places as are looked at, copies left out. Everything that draws a conclusion from exemplars
asks here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic

import numpy as np
from jaxtyping import Bool, Float32, Int32, Int64

from ..wording import Brief, agree
from .array_kind import ArrayT, as_tensor
from .ties import decided_places, repeats, strengths

if TYPE_CHECKING:
    import torch

RECTIFIER_FLOOR = -0.2785
"""What no smooth rectifier goes below: the least value of SiLU (of GELU: −0.17). Gated neurons and others do."""

WEAKEST = 1 / 5
"""Distance from the unit's mean, as a share of the most extreme exemplar's, below which a clip is no evidence."""


@dataclass(frozen=True, eq=False)
class Ranked(Brief, Generic[ArrayT]):
    """K clips of every unit of a site, best first. Clip −1: an empty place. Frame −1: pooling has no one frame.

    ties  how many clips have the last place's value and are not among the K
    """

    values: Float32[ArrayT, "k unit"]
    clips: Int64[ArrayT, "k unit"]
    frames: Int32[ArrayT, "k unit"]
    ties: Int64[ArrayT, " unit"]

    def tensors(self: Ranked[np.ndarray]) -> Ranked[torch.Tensor]:
        """With torch's tensors, which share the memory of the arrays."""
        return Ranked(*map(as_tensor, (self.values, self.clips, self.frames, self.ties)))


@dataclass(frozen=True, eq=False)
class ExemplarEvidence(Brief, Generic[ArrayT]):
    """What the places of one end of a site's units tell, if so many (`most`) are looked at.

    telling   evidence: decided, strong, new and on
    decided   won by value
    strength  distance from the unit's mean as a share of the first place's; 0 where the unit is off
    copy      the samples of an earlier exemplar
    off       below zero after a smooth rectifier
    """

    most: int
    ranked: Ranked[ArrayT]
    telling: Bool[ArrayT, "k unit"]
    decided: Bool[ArrayT, "k unit"]
    strength: Float32[ArrayT, "k unit"]
    copy: Bool[ArrayT, "k unit"]
    off: Bool[ArrayT, "k unit"]

    def tensors(self: ExemplarEvidence[np.ndarray], ranked: Ranked[torch.Tensor]) -> ExemplarEvidence[torch.Tensor]:
        """With torch's tensors; `ranked`: the list, as tensors."""
        tells = (self.telling, self.decided, self.strength, self.copy, self.off)
        return ExemplarEvidence(self.most, ranked, *map(as_tensor, tells))

    def counts(self) -> Int64[ArrayT, " unit"]:
        """How many exemplars of each unit are evidence."""
        return self.telling.sum(0)

    def reason(self, unit: int) -> str | None:
        """Why a unit has no evidence at all; None if it has."""
        if bool(self.telling[:, unit].any()):
            return None
        if int(self.ranked.clips[0, unit]) < 0:
            return "there are no clips"
        what = "tells anything" if bool(self.decided[:, unit].any()) else "is decided"
        return f"no clip {what}: {self.shortfall(unit)}"

    def shortfall(self, unit: int) -> str | None:
        """What keeps a unit from having as many exemplars as are looked at; None if it has them."""
        filled = self.ranked.clips[:, unit] >= 0
        if int(self.telling[:, unit].sum()) >= min(self.most, int(filled.sum())):
            return None
        new = filled & ~self.copy[:, unit]
        among = new & (new.cumsum(0) <= self.most)
        reasons: list[str] = []
        undecided = among & ~self.decided[:, unit]
        if bool(undecided.any()):
            reasons.append(self._tie(unit, undecided, new))
        decided, off = among & self.decided[:, unit], self.off[:, unit]
        weak = decided & ~off & ~self.telling[:, unit]
        for places, verb, verbs, what in (
            (decided & off, "lies", "lie", "below zero, where the unit is off"),
            (weak, "lies", "lie", "less than a fifth as far from the mean as the first"),
            (filled & self.copy[:, unit], "is a copy of another", "are copies of others", ""),
        ):
            count = int(places.sum())
            if count:
                reasons.append(f"{count} {agree(count, verb, verbs)} {what}".rstrip())
        return "; ".join(reasons) or None

    def _tie(self, unit: int, undecided: Bool[ArrayT, " k"], new: Bool[ArrayT, " k"]) -> str:
        """How many clips share the value of a unit's undecided places, stored or not; `new`: no copies."""
        value = float(self.ranked.values[undecided, unit][0])
        shared = int((new & (self.ranked.values[:, unit] == value)).sum())
        if float(self.ranked.values[-1, unit]) == value:
            shared += int(self.ranked.ties[unit])
        return f"{shared:,} {agree(shared, 'clip has', 'clips share')} the value {value + 0.0:g}"


def exemplar_evidence(
    ranked: Ranked[np.ndarray],
    means: Float32[np.ndarray, " unit"],
    contents: Int64[np.ndarray, "k unit"] | None,
    most: int,
    *,
    rectified: bool = False,
) -> ExemplarEvidence[np.ndarray]:
    """What each place of a site's lists tells.

    means     of the unit over all clips
    contents  the same number where two clips have the same samples; None: no two clips do
    most      how many exemplars are looked at
    rectified whether these are highest clips after a rectifier: those below zero tell nothing
    """
    filled = ranked.clips >= 0
    copy = np.zeros_like(filled) if contents is None else repeats(np.where(filled, contents, -1))
    decided = decided_places(ranked.values, filled & ~copy, ranked.ties, most)
    off = filled & np.signbit(ranked.values) & rectified  # -0.0 too: a GELU that is off
    with np.errstate(divide="ignore", invalid="ignore"):  # of a unit that never varies, or was never finite
        strength = np.where(~filled | off, np.float32(0), strengths(ranked.values, means))
    return ExemplarEvidence(most, ranked, decided & (strength >= WEAKEST), decided, strength, copy, off)
