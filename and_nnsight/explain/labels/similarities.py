"""The five similarities of CLIP-Dissect between what units say of clips and what concepts say of them.

Definitions and default parameters are the published ones (Oikarinen and Weng, ICLR 2023, and the released code), with u
a unit's activations and P the scores of clips for concepts:

cos           cosine of u and P's column
cos_cubed     both centred and cubed, then their cosine; norms below `min_norm` count as `min_norm`
wpmi          S = softmax(a P) over concepts; L = sum over the `top_k` best clips of log(S + min_prob);
              L - lam log mean over units of exp(L)
soft_wpmi     the same, but the clip of rank r (from 0) is an exemplar with the probability
              p = p_start - (p_start - p_end) r / top_k only: log(1 + p (S - 1) + min_prob)
rank_reorder  among the best `top_fraction` of the clips, how far the activations move if they are put in the order of
              P: - mean |u - reordered u|^p / the same for a random order / (mean of P over these clips)^scale_p

Where the published code leaves something to chance or divides by zero: the random order of `rank_reorder` is the
expectation over all orders, not the mean of five drawn; scores tied among a unit's best clips are ordered against the
concept; a unit whose best clips are all alike moves as far as a random order does; a mean score below `min_prob` counts
as `min_prob`; with fewer clips than `top_k`, `top_k` is that many. A column of zeros has cosine 0. Equal activations
are ranked by clip, the earlier first. A clip on which a unit's activation is not finite is left out for that unit; a
unit with none left is NaN.

wpmi and soft_wpmi compare a unit with all others that are given with it: give every unit of a site.

The `…_of_top` and `…_of_extremes` forms take a unit's best (and worst) clips instead of all: places of clips in the
rows of `scores`, best first, with -1 for none. Memory is bounded: units are taken so many at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from .ranking import (
    Best,
    at_once,
    best_clips,
    by_count,
    dense_ranks,
    order_of_some,
    packed,
    packing,
    parts,
    rows_of,
    scored_first,
)

MIN_NORM = 1e-3  # of cos_cubed
_BETWEEN_LOGARITHMS = 16  # factors of at least 1e-7 each may be multiplied in float64 before the logarithm is due

__all__ = [
    "SIMILARITIES",
    "Best",
    "best_clips",
    "cos",
    "cos_cubed",
    "cos_cubed_of_extremes",
    "cos_of_extremes",
    "fraction_of",
    "rank_reorder",
    "rank_reorder_of_top",
    "rows_of",
    "scored_first",
    "soft_wpmi",
    "soft_wpmi_of_top",
    "wpmi",
    "wpmi_of_top",
]

Activations = Float[Tensor, "clip unit"]
Scores = Float[Tensor, "clip concept"]
Similarity = Float[Tensor, "unit concept"]


def cos(activations: Activations, scores: Scores, *, units_at_once: int | None = None) -> Similarity:
    """Cosine of a unit's activations and a concept's scores over clips. Neither is centred."""
    return _cosines(activations, scores, cubed=False, min_norm=0.0, units_at_once=units_at_once)


def cos_cubed(
    activations: Activations, scores: Scores, *, min_norm: float = MIN_NORM, units_at_once: int | None = None
) -> Similarity:
    """Cosine of the cubes of centred activations and centred scores, so that the extreme clips decide."""
    return _cosines(activations, scores, cubed=True, min_norm=min_norm, units_at_once=units_at_once)


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


def wpmi(
    activations: Activations,
    scores: Scores,
    *,
    top_k: int = 28,
    a: float = 2,
    lam: float = 0.6,
    min_prob: float = 1e-7,
    units_at_once: int | None = None,
) -> Similarity:
    """Weighted pointwise mutual information of a unit's `top_k` best clips and a concept."""
    rows = best_clips(activations, top_k, units_at_once=units_at_once).rows
    return wpmi_of_top(rows, scores, top_k=top_k, a=a, lam=lam, min_prob=min_prob, units_at_once=units_at_once)


def soft_wpmi(
    activations: Activations,
    scores: Scores,
    *,
    top_k: int = 100,
    a: float = 10,
    lam: float = 1,
    min_prob: float = 1e-7,
    p_start: float = 0.998,
    p_end: float = 0.97,
    units_at_once: int | None = None,
) -> Similarity:
    """`wpmi` where a clip is the less certain to be an exemplar the lower it ranks."""
    rows = best_clips(activations, top_k, units_at_once=units_at_once).rows
    return soft_wpmi_of_top(
        rows, scores, top_k=top_k, a=a, lam=lam, min_prob=min_prob, p_start=p_start, p_end=p_end,
        units_at_once=units_at_once,
    )  # fmt: skip


def wpmi_of_top(
    rows: Int64[Tensor, "k unit"],
    scores: Scores,
    *,
    top_k: int = 28,
    a: float = 2,
    lam: float = 0.6,
    min_prob: float = 1e-7,
    units_at_once: int | None = None,
) -> Similarity:
    """`wpmi` from each unit's best clips; exact where there are `top_k` of them (or all that were scored)."""
    rows = packed(rows)[:top_k]
    certain = torch.ones(len(rows), dtype=torch.float64, device=scores.device)
    return _mutual_information(rows, scores, certain, a, lam, min_prob, units_at_once)


def soft_wpmi_of_top(
    rows: Int64[Tensor, "k unit"],
    scores: Scores,
    *,
    top_k: int = 100,
    a: float = 10,
    lam: float = 1,
    min_prob: float = 1e-7,
    p_start: float = 0.998,
    p_end: float = 0.97,
    units_at_once: int | None = None,
) -> Similarity:
    """`soft_wpmi` from each unit's best clips; exact where there are `top_k` of them (or all that were scored)."""
    rows = packed(rows)[:top_k]
    ranks = torch.arange(len(rows), dtype=torch.float64, device=scores.device)
    certainty = p_start - (p_start - p_end) * ranks / max(1, len(rows))
    return _mutual_information(rows, scores, certainty, a, lam, min_prob, units_at_once)


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
    _check(scores)
    dtype = torch.promote_types(_result(values), scores.dtype)
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


def cos_of_extremes(
    values: Float[Tensor, "k unit"],
    rows: Int64[Tensor, "k unit"],
    scores: Scores,
    *,
    units_at_once: int | None = None,
) -> Similarity:
    """`cos` with a unit's activation taken as 0 on all but the given clips; each of them may come once a unit."""
    nothing = values.new_zeros(values.shape[1])
    return _cosines_of_some(values, rows, scores, nothing, cubed=False, min_norm=0.0, units_at_once=units_at_once)


def cos_cubed_of_extremes(
    values: Float[Tensor, "k unit"],
    rows: Int64[Tensor, "k unit"],
    scores: Scores,
    unit_means: Float[Tensor, " unit"],
    *,
    min_norm: float = MIN_NORM,
    units_at_once: int | None = None,
) -> Similarity:
    """`cos_cubed` with a unit's activation taken as its mean on all but the given clips, whose cubes are small.

    `unit_means` are over all clips, and so are the concepts' means and norms: over all rows of `scores`. Each clip may
    come once a unit.
    """
    return _cosines_of_some(
        values, rows, scores, unit_means, cubed=True, min_norm=min_norm, units_at_once=units_at_once
    )


SIMILARITIES: Mapping[str, Callable[..., Tensor]] = {
    "cos": cos,
    "cos_cubed": cos_cubed,
    "rank_reorder": rank_reorder,
    "wpmi": wpmi,
    "soft_wpmi": soft_wpmi,
}


def fraction_of(clips: int, top_fraction: float = 0.05) -> int:
    """How many best clips `rank_reorder` looks at; at least one."""
    return max(1, int(clips * top_fraction))


def _mutual_information(
    rows: Int64[Tensor, "k unit"],
    scores: Scores,
    certainty: Float[Tensor, " k"],
    a: float,
    lam: float,
    min_prob: float,
    units_at_once: int | None,
) -> Similarity:
    _check(scores)
    filled = (rows >= 0).sum(0)
    if not len(rows):
        return scores.new_full((rows.shape[1], scores.shape[1]), torch.nan)
    used, places = torch.unique(rows.clamp(min=0), return_inverse=True)  # of a million clips few are best clips
    table = (a * scores[used].double()).softmax(1)
    likelihood = table.new_zeros(rows.shape[1], scores.shape[1])
    for units in parts(rows.shape[1], 3 * scores.shape[1], units_at_once):
        product = table.new_ones(())
        for rank, probability in enumerate(certainty.tolist(), start=1):
            factor = table[places[rank - 1, units]].mul_(probability).add_(1 - probability + min_prob)
            product = product * factor.masked_fill_((rows[rank - 1, units] < 0)[:, None], 1.0)
            if rank % _BETWEEN_LOGARITHMS == 0 or rank == len(certainty):
                likelihood[units] += product.log()
                product = table.new_ones(())
    # A sum over fewer clips is larger, so the few units that lack some cannot stand in the mean over units.
    complete = likelihood[filled == len(rows)]
    marginal = complete.logsumexp(0) - torch.tensor(len(complete), dtype=torch.float64, device=table.device).log()
    likelihood[filled == 0] = torch.nan
    return (likelihood - lam * marginal).to(_result(scores))


def _error_of_random_order(best: Float[Tensor, "n unit"], p: float) -> Float[Tensor, " unit"]:
    """The expectation of the mean |u - shuffled u|^p over all orders: the mean over all pairs."""
    total = best.new_zeros(best.shape[1])
    for row in best:
        total += (best - row).abs().pow(p).sum(0)
    return total / len(best) ** 2


def _cosines(
    activations: Activations, scores: Scores, *, cubed: bool, min_norm: float, units_at_once: int | None
) -> Similarity:
    _check(scores)
    dtype = torch.promote_types(_result(activations), scores.dtype)
    whole = _unit_vectors(scores.double(), cubed, min_norm).to(dtype)
    similarity = whole.new_empty(activations.shape[1], scores.shape[1])
    broken = torch.zeros(activations.shape[1], dtype=torch.bool, device=activations.device)
    for units in parts(activations.shape[1], len(activations), units_at_once):
        part = activations[:, units]
        broken[units] = ~part.isfinite().all(0)
        similarity[units] = _unit_vectors(part.double(), cubed, min_norm).to(dtype).T @ whole
    which = broken.nonzero()[:, 0]
    if len(which):  # each has clips of its own left out, so the concepts' means and norms are its own as well
        for some in which.split(at_once(scores.numel(), units_at_once)):
            finite = activations[:, some].isfinite()
            similarity[some] = _cosines_of_finite(activations[:, some], finite, scores, cubed, min_norm).to(dtype)
    return similarity


def _unit_vectors(columns: Tensor, cubed: bool, min_norm: float) -> Tensor:
    vectors = (columns - columns.mean(0)) ** 3 if cubed else columns
    norms = vectors.norm(dim=0).clamp(min=min_norm)
    return vectors / torch.where(norms > 0, norms, 1.0)


def _cosines_of_finite(
    values: Activations, finite: Bool[Tensor, "clip unit"], scores: Scores, cubed: bool, min_norm: float
) -> Similarity:
    count = finite.sum(0)
    ours = values.double().masked_fill(~finite, 0.0)
    theirs = scores.double()[:, None, :] * finite[:, :, None]
    if cubed:
        ours = (ours - ours.sum(0) / count) ** 3 * finite
        theirs = (theirs - theirs.sum(0) / count[:, None]) ** 3 * finite[:, :, None]
    product = torch.einsum("nu,nuc->uc", ours, theirs)
    norms = ours.norm(dim=0).clamp(min=min_norm)[:, None] * theirs.norm(dim=0).clamp(min=min_norm)
    return (product / torch.where(norms > 0, norms, 1.0)).masked_fill((count == 0)[:, None], torch.nan)


def _cosines_of_some(
    values: Float[Tensor, "k unit"],
    rows: Int64[Tensor, "k unit"],
    scores: Scores,
    unit_means: Float[Tensor, " unit"],
    *,
    cubed: bool,
    min_norm: float,
    units_at_once: int | None,
) -> Similarity:
    _check(scores)
    dtype = torch.promote_types(_result(values), scores.dtype)
    power = 3 if cubed else 1
    concepts = _unit_vectors(scores.double(), cubed, min_norm)
    similarity = scores.new_empty(rows.shape[1], scores.shape[1], dtype=dtype)
    for units in parts(rows.shape[1], len(rows) * scores.shape[1], units_at_once):
        there = rows[:, units] >= 0
        ours = ((values[:, units].double() - unit_means[units].double()) ** power).masked_fill(~there, 0.0)
        norms = ours.norm(dim=0).clamp(min=min_norm)
        product = torch.einsum("nu,nuc->uc", ours, concepts[rows[:, units].clamp(min=0)])
        cosine = product / torch.where(norms > 0, norms, 1.0)[:, None]
        similarity[units] = cosine.masked_fill(~there.any(0)[:, None], torch.nan).to(dtype)
    return similarity


def _result(tensor: Tensor) -> torch.dtype:
    return torch.promote_types(tensor.dtype, torch.float32)


def _check(scores: Tensor) -> None:
    if not bool(scores.isfinite().all()):
        raise ValueError("some scores of clips for concepts are not finite: leave such clips out")
