"""rank_reorder: how far a unit's best activations move when they are put in the order of a concept's scores.

The definition is in `similarities`.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from .ranking import best_clips, by_count, dense_ranks, order_of_some, packed, packing
from .similarity_tables import Activations, Scores, Similarity, check_scores, result_dtype


def rank_reorder(
    activations: Activations,
    scores: Scores,
    *,
    top_fraction: float = 0.05,
    p: float = 3,
    scale_p: float = 0.5,
    min_prob: float = 1e-7,
    units_at_once: int | None = None,
) -> Similarity:
    """Minus the relative error of a unit's best activations when they are put in the order of a concept's scores."""
    best = best_clips(activations, fraction_of(len(activations), top_fraction), units_at_once=units_at_once)
    return rank_reorder_of_top(
        best.values, best.rows, scores, p=p, scale_p=scale_p, min_prob=min_prob, units_at_once=units_at_once
    )


def rank_reorder_of_top(
    values: Float[Tensor, "k unit"],
    rows: Int64[Tensor, "k unit"],
    scores: Scores,
    *,
    p: float = 3,
    scale_p: float = 0.5,
    min_prob: float = 1e-7,
    units_at_once: int | None = None,
) -> Similarity:
    """`rank_reorder` over the given best clips, all of them: cut to `fraction_of(clips)` places it is exact."""
    check_scores(scores)
    dtype = torch.promote_types(result_dtype(values), scores.dtype)
    values, rows = values.to(dtype).gather(0, packing(rows)), packed(rows)
    scored = scores.to(dtype)
    ranks = dense_ranks(scored)
    similarity = scored.new_full((rows.shape[1], scores.shape[1]), torch.nan)
    for units, count in by_count(rows, len(rows) * scores.shape[1], units_at_once):
        best, places = values[:count, units], rows[:count, units]
        best = best / best.abs().amax(0).clamp(min=1e-30)  # the similarity has no scale, and cubes of large values do
        order = order_of_some(ranks, places)
        in_order = best.T.expand(order.shape).gather(2, order)
        error = (in_order - best.flip(0).T).abs_().pow_(p).mean(2).T
        chance = _error_of_random_order(best, p)[:, None]
        relative = torch.where(chance > 0, error / chance, 1.0)
        mean = scored[places].mean(0)
        similarity[units] = -relative / mean.clamp(min=min_prob).pow(scale_p)
    return similarity


def fraction_of(clips: int, top_fraction: float = 0.05) -> int:
    """How many best clips `rank_reorder` looks at; at least one."""
    return max(1, int(clips * top_fraction))


def _error_of_random_order(best: Float[Tensor, "n unit"], p: float) -> Float[Tensor, " unit"]:
    """The expectation of the mean |u - shuffled u|^p over all orders: the mean over all pairs."""
    total = best.new_zeros(best.shape[1])
    for row in best:
        total += (best - row).abs().pow(p).sum(0)
    return total / len(best) ** 2
