"""Intervals by the bootstrap: what other clips, and other random choices, would have given (Efron 1979).

All intervals of the package that resample are of percentiles, and come from here.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int64

RESAMPLES = 2_000
PERCENTILES = (2.5, 97.5)
"""Of the replicates: they bound an interval of 95 %."""


class Estimate(NamedTuple):
    """A number with the bounds of its 95 % interval; None where no replicates were drawn."""

    value: float
    low: float | None
    high: float | None


def estimate(replicates: Float64[np.ndarray, " replicate"]) -> Estimate:
    """The first value, which is that of the data itself, between percentiles of the others."""
    if len(replicates) < 2:
        return Estimate(float(replicates[0]), None, None)
    return Estimate(float(replicates[0]), *percentile_interval(replicates[1:]))


def percentile_interval(replicates: Float64[np.ndarray, " replicate"]) -> tuple[float, float]:
    """The 95 % interval by percentiles."""
    low, high = np.percentile(replicates, PERCENTILES)
    return float(low), float(high)


def clip_weights(labels: Int64[np.ndarray, " clip"], replicates: int, seed: int) -> Int64[np.ndarray, "replicate clip"]:
    """How often each clip counts: once in the first row, which is the data itself; then so many bootstrap replicates.

    A replicate draws each class's clips anew, with replacement and as many as there are, so that no class is ever
    without clips; the intervals of a class with n clips are narrower for it, by the root of (n - 1) / n. One table of
    weights serves all variants: differences between them are paired.
    """
    rng = np.random.default_rng(seed)
    weights = np.ones((1 + replicates, len(labels)), dtype=np.int64)
    for number in np.unique(labels):
        places = np.flatnonzero(labels == number)
        weights[1:, places] = rng.multinomial(len(places), np.full(len(places), 1 / len(places)), size=replicates)
    return weights


class Bootstrap:
    """Samples of clips and of draws at once, drawn once, so that everything is measured on the same ones."""

    def __init__(self, clips: int, draws: int, seed: int, resamples: int = RESAMPLES) -> None:
        generator = np.random.default_rng(seed)
        self._clips = generator.multinomial(clips, np.full(clips, 1 / clips), resamples) / clips
        self._draws = generator.multinomial(draws, np.full(draws, 1 / draws), resamples) / draws

    def interval(self, values: Float64[np.ndarray, "draw clip"]) -> tuple[float, float]:
        """The 95 % interval of the mean of values, by percentiles. With one row of values: over clips alone."""
        by_draw = self._clips @ values.T
        means = by_draw[:, 0] if len(values) == 1 else (by_draw * self._draws).sum(1)
        return percentile_interval(means)
