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
_ELEMENTS = 1 << 22


def savage_scores(rows: Float[Tensor, "row clip"]) -> Float64[Tensor, "row clip"]:
    """Each value's expected place in an exponential sample, from 1/n for the lowest to about ln n; the mean is 1."""
    clips = rows.shape[1]
    steps = 1 / torch.arange(clips, 0, -1, dtype=torch.float64, device=rows.device)
    summed = torch.cat([steps.new_zeros(1), steps.cumsum(0).cumsum(0)])
    below, upto = _ties(rows)
    return (summed[upto] - summed[below]) / (upto - below)


def rank_shares(rows: Float[Tensor, "row clip"]) -> Float64[Tensor, "row clip"]:
    """The place of each value among its row's, from 0 to 1; ties share the middle of theirs."""
    below, upto = _ties(rows)
    return (below + upto).double() / (2 * rows.shape[1])


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
    clips = rows.shape[1]
    steps = [_bins(predictor) for predictor in predictors]
    residuals = []
    for part in torch.arange(len(rows), device=rows.device).split(max(1, _ELEMENTS // min(clips, BINS) ** 2)):
        values = rows[part].double()
        left = values - values.mean(1, keepdim=True)
        fits = [torch.zeros_like(left) for _ in steps]
        for _ in range(_SWEEPS):
            for place, bins in enumerate(steps):
                target = left + fits[place]
                fitted = _isotonic(target, bins, directions[part, place].double())
                left, fits[place] = target - fitted, fitted
        residuals.append(left)
    return torch.cat(residuals) if residuals else rows.double()


def _bins(predictor: Float[Tensor, " clip"]) -> Int64[Tensor, " clip"]:
    steps = min(len(predictor), BINS)
    bins = (rank_shares(predictor[None])[0] * steps).long().clamp(max=steps - 1)
    return bins.unique(return_inverse=True)[1]


def _isotonic(
    rows: Float64[Tensor, "row clip"], bins: Int64[Tensor, " clip"], directions: Float64[Tensor, " row"]
) -> Float64[Tensor, "row clip"]:
    """The nearest function of the bins that only rises (direction 1) or only falls (−1): the min-max formula.

    fit(k) = max over i ≤ k of min over j ≥ k of the mean of bins i to j (Robertson, Wright & Dykstra 1988, 1.4).
    """
    count = int(bins.max()) + 1
    member = torch.zeros(rows.shape[1], count, dtype=torch.float64, device=rows.device)
    member[torch.arange(rows.shape[1], device=rows.device), bins] = 1.0
    sums = torch.nn.functional.pad(((rows * directions[:, None]) @ member).cumsum(1), (1, 0))
    sizes = torch.nn.functional.pad(member.sum(0).cumsum(0), (1, 0))
    place = torch.arange(count, device=rows.device)
    forward = place[:, None] <= place
    means = (sums[:, None, 1:] - sums[:, :-1, None]) / (sizes[1:] - sizes[:-1, None]).clamp(min=1.0)
    lowest = torch.where(forward, means, torch.inf).flip(2).cummin(2).values.flip(2)
    fitted = torch.where(forward, lowest, -torch.inf).amax(1)
    return (fitted * directions[:, None])[:, bins]
