"""What an ablation changes on a concept's own clips and on all others, with intervals over clips.

`own` is the paper's ΔA, `others` its ΔR, and their difference, others minus own, the selectivity: above zero where the
concept's own clips lose more.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int64

from ..statistics.bootstrap import Estimate
from ..statistics.student_t import student_quantile


class Changes(NamedTuple):
    """Mean changes on the clips of each variant's class and on all others, in every replicate for every variant."""

    own: Float64[np.ndarray, "replicate ..."]
    others: Float64[np.ndarray, "replicate ..."]

    @property
    def selectivity(self) -> Float64[np.ndarray, "replicate ..."]:
        """Others minus own."""
        return self.others - self.own


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


def prediction(values: Float64[np.ndarray, "replicate choice set"]) -> Estimate:
    """The mean excess of choices over their random draws, with a 95 % prediction interval over draws and clips.

    values: selectivities, in every replicate those of each choice, then of its draws. The first replicate is the data.

    Were a choice one more random draw, its excess over the mean of n draws would have the variance s² (1 + 1/n), s² the
    variance between the draws. So the interval, of Student's t with n - 1 degrees of freedom, excludes zero for 5 % of
    random choices, whatever the clips: s² holds what the clips add to a draw, as it holds what they add to a random
    choice. A choice that is no random one may hang more on which clips there are than a draw does: by how much more its
    excess varies over replicates than that of a draw over the others, the interval is wider. Over several choices
    variances add up, and the degrees of freedom are Welch's and Satterthwaite's.

    Without bounds where there are fewer than two draws, or no replicates.
    """
    choices, draws = values.shape[1], values.shape[2] - 1
    excess = values[:, :, 0] - values[:, :, 1:].mean(2)
    value = float(excess[0].mean())
    if draws < 2 or len(values) < 2:
        return Estimate(value, None, None)
    parts = values[0, :, 1:].var(1, ddof=1) * (1 + 1 / draws) / choices**2
    between = float(parts.sum())
    freedom = draws - 1
    if between > 0:
        freedom = int(between**2 / float((parts**2).sum()) * freedom + 1e-9)
    spread = float(np.sqrt(between + _more_of_clips(values, excess)))
    half = student_quantile(freedom) * spread
    return Estimate(value, value - half, value + half)


def _more_of_clips(
    values: Float64[np.ndarray, "replicate choice set"], excess: Float64[np.ndarray, "replicate choice"]
) -> float:
    """By how much the mean excess of the choices varies more over replicates than that of a draw over all others."""
    draws = values.shape[2] - 1
    drawn = values[1:, :, 1:]
    others = (drawn.sum(2, keepdims=True) - drawn) / (draws - 1)
    of_draws = (drawn - others).mean(1).var(0).mean() * (1 + 1 / draws) / (1 + 1 / (draws - 1))
    return max(0.0, float(excess[1:].mean(1).var() - of_draws))


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
