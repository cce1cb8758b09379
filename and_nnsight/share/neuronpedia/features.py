"""Units as Neuronpedia knows features: activations over clips, how often they fire, what is said of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...dissection.dissection import Dissection
from ...dissection.exemplars import Exemplar
from ..claims import Claims
from .checks import LONGEST_EXPLANATION
from .names import shortened
from .tokens import TokenActivations, token_activations

_BARS = 40


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

    def of(self, site: str, unit: int, exemplars: Sequence[Exemplar]) -> Feature | None:
        """Of a unit, over those of the exemplars whose curve is there; None where there is none."""
        there = [each for each in exemplars if (site, unit, each.clip) in self._store.curves]
        curves = [(each.clip, self._store.curve(site, unit, each.clip)) for each in there]
        over = [token_activations(self._dissection, site, clip, curve) for clip, curve in curves]
        activations = [each for each in over if each is not None]
        density = float(self._dissection[site].active[unit])
        if not activations or not math.isfinite(density):
            return None
        said = self._claims.of(site, unit)
        text, verdict = said.get("explanation"), said.get("explanation_verdict")
        explanation = shortened(text, LONGEST_EXPLANATION) if text else ""
        histogram = self._histogram(site, unit)
        return Feature(site, unit, density, histogram, activations, explanation or None, verdict)

    def _histogram(self, site: str, unit: int) -> Histogram:
        activations = self._dissection.activations(site)
        if activations is None:
            return Histogram()
        pooled = np.asarray(activations[:, unit], np.float64)
        heights, edges = np.histogram(pooled[np.isfinite(pooled)], _BARS)
        middles = (edges[:-1] + edges[1:]) / 2
        return Histogram(tuple(map(float, heights)), tuple(float(f"{value:.6g}") for value in middles))
