"""A unit and its exemplars, one by one, for whoever shows them."""

from __future__ import annotations

from dataclasses import dataclass

from .evidence import WEAKEST


@dataclass(frozen=True)
class Exemplar:
    """One clip of a unit's top or bottom: what it is, how much the unit said, and where in the clip.

    start, end  seconds from the clip's start; None where the frame's place in time is unknown
    decided     won by value, not by the order of the files, if all stored exemplars are looked at
    strength    distance from the unit's mean as a share of the first exemplar's
    copy        its samples are those of an earlier exemplar
    silent      there is nothing to be heard in it
    """

    clip: int
    path: str | None
    label: str | None
    caption: str | None
    activation: float
    frame: int
    start: float | None
    end: float | None
    decided: bool = True
    strength: float = 1.0
    copy: bool = False
    silent: bool = False

    @property
    def telling(self) -> bool:
        """Whether it is evidence of what the unit responds to: decided, strong, and no copy of another."""
        return self.decided and not self.copy and self.strength >= WEAKEST


@dataclass(frozen=True)
class Unit:
    """One unit of a site with its exemplars, best first.

    top_shortfall, bottom_shortfall  why not all exemplars are evidence, in words; None where all are
    """

    site: str
    index: int
    top: tuple[Exemplar, ...]
    bottom: tuple[Exemplar, ...]
    mean: float
    variance: float
    active: float
    top_shortfall: str | None = None
    bottom_shortfall: str | None = None
