"""Intervals over clips and draws at once: what other clips, and other random choices, would have given."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64

RESAMPLES = 2_000
_PERCENTILES = (2.5, 97.5)


class Bootstrap:
    """Samples of clips and of draws, drawn once, so that everything is measured on the same ones."""

    def __init__(self, clips: int, draws: int, seed: int, resamples: int = RESAMPLES) -> None:
        generator = np.random.default_rng(seed)
        self._clips = generator.multinomial(clips, np.full(clips, 1 / clips), resamples) / clips
        self._draws = generator.multinomial(draws, np.full(draws, 1 / draws), resamples) / draws

    def interval(self, values: Float64[np.ndarray, "draw clip"]) -> tuple[float, float]:
        """The 95 % interval of the mean of values, by percentiles. With one row of values: over clips alone."""
        by_draw = self._clips @ values.T
        means = by_draw[:, 0] if len(values) == 1 else (by_draw * self._draws).sum(1)
        low, high = np.percentile(means, _PERCENTILES)
        return float(low), float(high)
