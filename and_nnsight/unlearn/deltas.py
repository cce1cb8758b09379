"""What an ablation changes on a concept's own clips and on all others, with intervals over clips.

`own` is the paper's ΔA, `others` its ΔR, and their difference, others minus own, the selectivity: above zero where the
concept's own clips lose more.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int64

INTERVAL = (2.5, 97.5)
"""Percentiles of the replicates that bound an interval."""


class Estimate(NamedTuple):
    """A number with the bounds of its 95 % interval; None where no replicates were drawn."""

    value: float
    low: float | None
    high: float | None


class Changes(NamedTuple):
    """Mean changes on the clips of each variant's class and on all others."""

    own: Float64[np.ndarray, "replicate variant"]
    others: Float64[np.ndarray, "replicate variant"]

    @property
    def selectivity(self) -> Float64[np.ndarray, "replicate variant"]:
        """Others minus own."""
        return self.others - self.own


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


def draw_weights(choices: int, draws: int, replicates: int, seed: int) -> Int64[np.ndarray, "replicate choice draw"]:
    """How often each control draw counts: once in the first row, then drawn anew for every replicate and choice."""
    rng = np.random.default_rng([seed, 1])
    weights = np.ones((1 + replicates, choices, draws), dtype=np.int64)
    if draws:
        weights[1:] = rng.multinomial(draws, np.full(draws, 1 / draws), size=(replicates, choices))
    return weights


def changes(
    delta: Float64[np.ndarray, "variant clip"],
    labels: Int64[np.ndarray, " clip"],
    targets: Int64[np.ndarray, " variant"],
    weights: Int64[np.ndarray, "replicate clip"],
) -> Changes:
    """The weighted mean change of every variant over its own class's clips and over the other clips.

    delta: what each variant changes of each clip's number. targets: the class that is each variant's own.
    """
    counted = weights.astype(np.float64)
    total = counted @ delta.T
    own_sum, own_weight = np.zeros_like(total), np.zeros_like(total)
    for number in np.unique(targets):
        variants, clips = np.flatnonzero(targets == number), np.flatnonzero(labels == number)
        own_sum[:, variants] = counted[:, clips] @ delta[np.ix_(variants, clips)].T
        own_weight[:, variants] = counted[:, clips].sum(1, keepdims=True)
    everything = counted.sum(1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        return Changes(own_sum / own_weight, (total - own_sum) / (everything - own_weight))


def chance(values: Float64[np.ndarray, "choice draw"], seed: int, shuffles: int = 20_000) -> float:
    """How often units that are no better than random ones would do at least as well: a one-sided p.

    values: for each choice its selectivity, then those of its random draws. Were the choice one more draw, each of a
    row's values could as well be the first: p is the share of such exchanges, one in every row, whose first values have
    at least the same mean. Intervals over clips say nothing of this: they take the units as given. Of one choice, p is
    at least one in 1 + draws.
    """
    choices, draws = values.shape
    if choices == 1:
        return float((values[0] >= values[0, 0]).mean())
    rng = np.random.default_rng([seed, 3])
    first = np.zeros(shuffles)
    for row in values:
        first += row[rng.integers(draws, size=shuffles)]
    at_least = int((first >= values[:, 0].sum() - 1e-12).sum())
    return (1 + at_least) / (1 + shuffles)


def estimate(replicates: Float64[np.ndarray, " replicate"]) -> Estimate:
    """The first value, which is that of the data itself, between percentiles of the others."""
    if len(replicates) < 2:
        return Estimate(float(replicates[0]), None, None)
    low, high = np.percentile(replicates[1:], INTERVAL)
    return Estimate(float(replicates[0]), float(low), float(high))
