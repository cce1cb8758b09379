"""Top-down correlation: do the clips that a claim predicts highest excite the unit most? Top ranks count for most.

Both sides are replaced by Savage scores: the expected order statistics of an exponential sample, so that of n clips the
highest scores about ln n, the next less by one, then by a half, a third … while the lower half hardly differ. Pearson
of these scores is the top-down correlation of Iman & Conover (Technometrics 29, 1987). Unlike Pearson of the raw
values it does not hang on one loud clip, nor favour a dense feature over a claim that is true of a few clips; unlike
Spearman's it does not ask a claim to order the clips on which the unit is quiet. Ties share the mean of their scores.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

BINS = 128
"""Steps that a monotone fit has at most."""
_SWEEPS = 3
_ROWS = 512  # that are fitted at once: what is in between stays in a processor's cache


def savage_scores(rows: Float[Tensor, "row clip"]) -> Float64[Tensor, "row clip"]:
    """Each value's expected place in an exponential sample, from 1/n for the lowest to about ln n; the mean is 1."""
    return scores_and_ranks(rows)[0]


def rank_shares(rows: Float[Tensor, "row clip"]) -> Float64[Tensor, "row clip"]:
    """The place of each value among its row's, from 0 to 1; ties share the middle of theirs."""
    return scores_and_ranks(rows)[1]


def scores_and_ranks(
    rows: Float[Tensor, "row clip"],
) -> tuple[Float64[Tensor, "row clip"], Float64[Tensor, "row clip"]]:
    """Both `savage_scores` and `rank_shares`, of which each is made of the same counts of ties."""
    clips = rows.shape[1]
    steps = 1 / torch.arange(clips, 0, -1, dtype=torch.float64, device=rows.device)
    summed = torch.cat([steps.new_zeros(1), steps.cumsum(0).cumsum(0)])
    below, upto = _ties(rows)
    return (summed[upto] - summed[below]) / (upto - below), (below + upto).double() / (2 * clips)


def _ties(rows: Float[Tensor, "row clip"]) -> tuple[Int64[Tensor, "row clip"], Int64[Tensor, "row clip"]]:
    """How many values lie below each, and how many do not lie above it."""
    rows = rows.contiguous()
    ordered = rows.sort(1).values
    return torch.searchsorted(ordered, rows), torch.searchsorted(ordered, rows, right=True)


def linear_basis(predictors: Float[Tensor, "predictor clip"]) -> Float64[Tensor, "clip column"]:
    """Orthonormal columns that span a constant and the ranks of each predictor."""
    clips = predictors.shape[1]
    columns = torch.cat([torch.ones(1, clips, dtype=torch.float64, device=predictors.device), rank_shares(predictors)])
    vectors, sizes, _ = torch.linalg.svd(columns.T, full_matrices=False)
    return vectors[:, sizes > 1e-6 * sizes[0]]


def monotone_residuals(
    rows: Float[Tensor, "row clip"],
    predictors: Float[Tensor, "predictor clip"],
    directions: Int64[Tensor, "row predictor"],
) -> Float64[Tensor, "row clip"]:
    """What is left of each row when a sum of monotone functions of the predictors has been fitted to it.

    Each function may have any shape that only rises, or, where its direction is −1, only falls: the least-squares
    (isotonic) fit, of one predictor after the other in three rounds. So a unit that thresholds or saturates a predictor
    leaves nothing. A predictor has `BINS` steps, of equally many clips each; clips where it is the same share one.
    """
    steps = [_bins(predictor) for predictor in predictors]
    residuals = []
    for part in torch.arange(len(rows), device=rows.device).split(_ROWS):
        values, directed = rows[part].double(), directions[part].double().T
        left = (values - values.mean(1, keepdim=True)).T.contiguous()  # rows beside each other in memory
        fits = [torch.zeros_like(left) for _ in steps]
        for _ in range(_SWEEPS):
            for fit, bins, direction in zip(fits, steps, directed, strict=True):
                target = left.add_(fit)
                torch.index_select(_isotonic(target, bins, direction), 0, bins, out=fit)
                left = target.sub_(fit)
        residuals.append(left.T)
    return torch.cat(residuals) if residuals else rows.double()


def _bins(predictor: Float[Tensor, " clip"]) -> Int64[Tensor, " clip"]:
    steps = min(len(predictor), BINS)
    bins = (rank_shares(predictor[None])[0] * steps).long().clamp(max=steps - 1)
    return bins.unique(return_inverse=True)[1]


def _isotonic(
    values: Float64[Tensor, "clip row"], bins: Int64[Tensor, " clip"], directions: Float64[Tensor, " row"]
) -> Float64[Tensor, "bin row"]:
    """The nearest function of the bins that only rises (direction 1) or only falls (−1): the min-max formula.

    fit(k) = max over i ≤ k of min over j ≥ k of the mean of bins i to j (Robertson, Wright & Dykstra 1988, 1.4): from
    the last bin down, with the lowest mean that began at each i so far.
    """
    sizes = torch.nn.functional.pad(bins.bincount().double().cumsum(0), (1, 0))
    count = len(sizes) - 1
    sums = torch.zeros(count + 1, values.shape[1], dtype=torch.float64, device=values.device)
    ends = (sums.index_add_(0, bins + 1, values) * directions).cumsum(0)
    fitted, lowest = torch.empty_like(ends[1:]), torch.full_like(ends[1:], torch.inf)
    for last in range(count, 0, -1):
        means = (ends[last] - ends[:last]).div_(sizes[last] - sizes[:last, None])
        torch.amax(torch.minimum(lowest[:last], means, out=lowest[:last]), 0, out=fitted[last - 1])
    return fitted.mul_(directions)
