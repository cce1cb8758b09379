"""wpmi and soft_wpmi: weighted pointwise mutual information of each unit's best clips and a concept.

The definitions are in `similarities`. Units are compared with all others that are given with them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Int64
from torch import Tensor

from .ranking import best_clips, packed, parts
from .similarity_tables import Activations, Scores, Similarity, check_scores, result_dtype

_BETWEEN_LOGARITHMS = 16  # factors of at least 1e-7 each may be multiplied in float64 before the logarithm is due


@dataclass(frozen=True)
class MutualInformation:
    """The constants of wpmi.

    top_k           best clips of a unit
    a               by which scores are multiplied before the softmax over concepts
    lam             weight of what all units have in common
    min_prob        added to each probability
    p_start, p_end  with what probability the best clip is an exemplar, and towards which that falls by rank
    """

    top_k: int
    a: float
    lam: float
    min_prob: float = 1e-7
    p_start: float = 1.0
    p_end: float = 1.0

    def certainty(self, count: int) -> list[float]:
        """With what probability each of so many best clips is an exemplar, best first."""
        ranks = torch.arange(count, dtype=torch.float64)
        return (self.p_start - (self.p_start - self.p_end) * ranks / max(1, count)).tolist()


WPMI = MutualInformation(top_k=28, a=2, lam=0.6)
SOFT_WPMI = MutualInformation(top_k=100, a=10, lam=1, p_start=0.998, p_end=0.97)


def wpmi(
    activations: Activations,
    scores: Scores,
    constants: MutualInformation = WPMI,
    *,
    units_at_once: int | None = None,
) -> Similarity:
    """Weighted pointwise mutual information of a unit's `top_k` best clips and a concept."""
    rows = best_clips(activations, constants.top_k, units_at_once=units_at_once).rows
    return wpmi_of_top(rows, scores, constants, units_at_once=units_at_once)


def soft_wpmi(
    activations: Activations,
    scores: Scores,
    constants: MutualInformation = SOFT_WPMI,
    *,
    units_at_once: int | None = None,
) -> Similarity:
    """`wpmi` where a clip is the less certain to be an exemplar the lower it ranks."""
    return wpmi(activations, scores, constants, units_at_once=units_at_once)


def wpmi_of_top(
    rows: Int64[Tensor, "k unit"],
    scores: Scores,
    constants: MutualInformation = WPMI,
    *,
    units_at_once: int | None = None,
) -> Similarity:
    """`wpmi` from each unit's best clips; exact where there are `top_k` of them (or all that were scored)."""
    rows = packed(rows)[: constants.top_k]
    check_scores(scores)
    filled = (rows >= 0).sum(0)
    if not len(rows):
        return scores.new_full((rows.shape[1], scores.shape[1]), torch.nan)
    used, places = torch.unique(rows.clamp(min=0), return_inverse=True)  # of a million clips few are best clips
    table = (constants.a * scores[used].double()).softmax(1)
    certainty = constants.certainty(len(rows))
    likelihood = table.new_zeros(rows.shape[1], scores.shape[1])
    for units in parts(rows.shape[1], 3 * scores.shape[1], units_at_once):
        product = table.new_ones(())
        for rank, probability in enumerate(certainty, start=1):
            factor = table[places[rank - 1, units]].mul_(probability).add_(1 - probability + constants.min_prob)
            product = product * factor.masked_fill_((rows[rank - 1, units] < 0)[:, None], 1.0)
            if rank % _BETWEEN_LOGARITHMS == 0 or rank == len(certainty):
                likelihood[units] += product.log()
                product = table.new_ones(())
    # A sum over fewer clips is larger, so the few units that lack some cannot stand in the mean over units.
    complete = likelihood[filled == len(rows)]
    marginal = complete.logsumexp(0) - torch.tensor(len(complete), dtype=torch.float64, device=table.device).log()
    likelihood[filled == 0] = torch.nan
    return (likelihood - constants.lam * marginal).to(result_dtype(scores))


def soft_wpmi_of_top(
    rows: Int64[Tensor, "k unit"],
    scores: Scores,
    constants: MutualInformation = SOFT_WPMI,
    *,
    units_at_once: int | None = None,
) -> Similarity:
    """`soft_wpmi` from each unit's best clips; exact where there are `top_k` of them (or all that were scored)."""
    return wpmi_of_top(rows, scores, constants, units_at_once=units_at_once)
