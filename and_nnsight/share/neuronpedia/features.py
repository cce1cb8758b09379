"""Units as Neuronpedia knows features: activations over clips, how often they fire, what is said of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...dissection.curves import Curve
from ...dissection.decimals import shortest
from ...dissection.dissection import Dissection
from ...dissection.exemplars import Exemplar
from ..claims import Claims
from .checks import LONGEST_EXPLANATION
from .names import shortened
from .tokens import SiteTokens, TokenActivations

_BARS = 40
_AT_ONCE = 1_024  # units whose curves are gathered together: a clip's file is opened once for all of them


@dataclass(frozen=True)
class Histogram:
    """How many clips have a pooled activation about each of these values; empty where none were kept."""

    heights: tuple[float, ...] = ()
    values: tuple[float, ...] = ()


@dataclass(frozen=True)
class Feature:
    """A unit with what is written of it.

    density      share of clips with a pooled activation above zero
    explanation  within Neuronpedia's length; None where there is none
    verdict      how that stands, in words; None where it was not scored
    """

    site: str
    unit: int
    density: float
    histogram: Histogram
    activations: Sequence[TokenActivations]
    explanation: str | None
    verdict: str | None

    @property
    def highest(self) -> float:
        """Its highest activation."""
        return max(each.values[each.highest] for each in self.activations)


def exported_exemplars(dissection: Dissection, site: str, unit: int, most: int | None) -> tuple[Exemplar, ...]:
    """The top clips that are written: those whose places were won by value, each sound once."""
    return tuple(each for each in dissection.unit(site, unit).top if each.decided and not each.copy)[:most]


class Features:
    """Makes features of units, whose curves are in the dissection's store."""

    def __init__(self, dissection: Dissection) -> None:
        self._dissection, self._claims, self._store = dissection, Claims(dissection), dissection.exemplars()

    def of_site(self, site: str, exemplars: Mapping[int, Sequence[Exemplar]]) -> Iterator[Feature]:
        """Of a site's units in the order of their indices, over those of the exemplars whose curve is there.

        Units without one are left out.
        """
        units = sorted(exemplars)
        for start in range(0, len(units), _AT_ONCE):
            chosen = units[start : start + _AT_ONCE]
            curves = self._curves(site, {unit: exemplars[unit] for unit in chosen})
            tokens, pooled = SiteTokens(self._dissection, site), self._dissection.activations(site)
            for unit in chosen:
                there = [
                    (each.clip, curves[unit, each.clip]) for each in exemplars[unit] if (unit, each.clip) in curves
                ]
                over = [tokens.of(clip, curve) for clip, curve in there]
                feature = self._of(site, unit, [each for each in over if each is not None], pooled)
                if feature is not None:
                    yield feature

    def _curves(self, site: str, exemplars: Mapping[int, Sequence[Exemplar]]) -> dict[tuple[int, int], Curve]:
        """By unit and clip: clip by clip, since a clip's file holds the curves of all units."""
        by_clip: dict[int, list[int]] = {}
        for unit, of_unit in exemplars.items():
            for exemplar in of_unit:
                by_clip.setdefault(exemplar.clip, []).append(unit)
        curves: dict[tuple[int, int], Curve] = {}
        for clip, units in sorted(by_clip.items()):
            there = self._store.curves.of_clip(clip).get(site)
            for unit in units if there is not None else ():
                curve = there.curve(unit)
                if curve is not None:
                    curves[unit, clip] = Curve(curve.start, curve.stop, curve.activation.copy())  # not all of its file
        return curves

    def _of(
        self, site: str, unit: int, activations: Sequence[TokenActivations], pooled: np.ndarray | None
    ) -> Feature | None:
        density = shortest(self._dissection.arrays(site).active[unit])
        if not activations or not math.isfinite(density):
            return None
        said = self._claims.of(site, unit)
        text, verdict = said.get("explanation"), said.get("explanation_verdict")
        explanation = shortened(text, LONGEST_EXPLANATION) if text else ""
        histogram = Histogram() if pooled is None else _histogram(pooled[:, unit])
        return Feature(site, unit, density, histogram, activations, explanation or None, verdict)


def _histogram(pooled: np.ndarray) -> Histogram:
    values = np.asarray(pooled, np.float64)
    heights, edges = np.histogram(values[np.isfinite(values)], _BARS)
    middles = (edges[:-1] + edges[1:]) / 2
    return Histogram(tuple(map(float, heights)), tuple(float(f"{value:.6g}") for value in middles))
