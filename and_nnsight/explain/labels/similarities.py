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

from torch import Tensor

from .cosines import cos, cos_cubed
from .mutual_information import soft_wpmi, wpmi
from .reordering import rank_reorder

PUBLISHED: Mapping[str, Callable[..., Tensor]] = {
    "cos": cos,
    "cos_cubed": cos_cubed,
    "rank_reorder": rank_reorder,
    "wpmi": wpmi,
    "soft_wpmi": soft_wpmi,
}
