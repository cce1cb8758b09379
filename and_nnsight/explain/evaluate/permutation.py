"""How often do random orders of the clips do as well as a claim does? p by permutation, for many units at once.

A claim may tell a unit in three ways: the clips that it predicts highest are those that excite the unit most
(top-down correlation, see `top_down`), or they are those on which the unit fires at all (correlation with the unit's
top share of clips), or all its predictions rise with the unit (Spearman's correlation, which sees a claim that is true
of half of the clips, where the other two see the very top only). The statistic is the largest of the three; so it is
for every random order.

p = (1 + orders that reach the claim's own statistic) / (1 + orders): it is never 0, and never too small (Phipson &
Smyth 2010). What equals the claim's own counts as reaching it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Float64, Int64
from torch import Tensor

from .metrics import standardised
from .top_down import linear_basis, monotone_residuals, rank_shares, savage_scores

BLOCKS = 3
"""Of clips on which the nulls lead one to expect like values of a unit: within these its residuals are permuted."""

_SAME = 1e-5  # correlations that differ by less are equal: sums in another order differ in the last bits
_NOTHING = (0.25, 0.4, 0.25)  # of the length in each way (`_ways`): a unit of which the nulls leave less is theirs
_DECIMALS = 6
_ELEMENTS = 1 << 19  # clips × units that are permuted at once: what a processor's cache holds


@dataclass(frozen=True, eq=False)
class PermutationResult:
    """Of each unit: its top-down correlation with its claim, and how often random orders of the clips do as well."""

    correlation: Float64[Tensor, " unit"]
    p: Float64[Tensor, " unit"]


def random_orders(clips: int, shuffles: int, seed: int, blocks: int = 1) -> Iterator[Int64[Tensor, " clip"]]:
    """So many random orders of the clips, within consecutive blocks of equal size; the same for the same numbers."""
    random = np.random.default_rng([seed, clips, blocks])
    parts = np.array_split(np.arange(clips), blocks)
    for _ in range(shuffles):
        yield torch.from_numpy(np.concatenate([random.permutation(part) for part in parts]))


def prediction_test(
    activations: Float[Tensor, "unit clip"],
    fires: Bool[Tensor, "unit clip"],
    predictions: Float[Tensor, "prediction clip"],
    which: Int64[Tensor, " unit"],
    shuffles: int,
    seed: int,
) -> PermutationResult:
    """Does its prediction (`which`) tell a unit's clips? Against random orders of the clips.

    fires  the clips of the unit's top share

    0 and p 1 where the unit or its prediction is the same on all clips.
    """
    units, claims = torch.stack(_ways(activations, fires)), torch.stack(_claimed(predictions))
    return _tested(units, lambda part: claims[:, which[part]], lambda: random_orders(units.shape[2], shuffles, seed))


def partial_test(
    activations: Float[Tensor, "unit clip"],
    fires: Bool[Tensor, "unit clip"],
    predictions: Float[Tensor, "prediction clip"],
    which: Int64[Tensor, " unit"],
    nulls: Float[Tensor, "null clip"],
    directions: Int64[Tensor, "unit null"],
    shuffles: int,
    seed: int,
) -> PermutationResult:
    """Does its prediction tell of a unit what the nulls do not? Partial correlations, residuals permuted in blocks.

    From the unit (its Savage scores, on which clips it fires, its ranks) the best sum of monotone functions of the
    nulls is taken (see `monotone_residuals`), in the directions that were settled on other clips, and what is still
    linear in the nulls' ranks; from the claim's scores and ranks what is linear in them. The unit's residuals are
    permuted (Kennedy 1995), but only among clips on which the nulls let one expect much the same of it (`BLOCKS`): a
    unit scatters more where it is loud, and so do claims of loudness, which makes free permutation reject too often
    (12 %, not 5).

    0 and p 1 where the nulls leave too little to be told (6 % of the variance of scores and ranks, 16 % of firing):
    a unit that follows loudness measures it in another way than we do, and what is left of it is that difference.
    """
    basis = linear_basis(nulls)
    wholes = _ways(activations, fires)
    left = [_without(monotone_residuals(rows, nulls, directions), basis) for rows in wholes]
    order = (wholes[0].double() - left[0]).round(decimals=_DECIMALS).argsort(dim=1, stable=True)
    claims = torch.stack([_directions(_without(rows.double(), basis), _NOTHING[0]) for rows in _claimed(predictions)])
    units = torch.stack([
        _directions(rows, least).gather(1, order) for rows, least in zip(left, _NOTHING, strict=True)
    ])  # fmt: skip
    clips = units.shape[2]
    lost = ((clips - basis.shape[1]) / (clips - 1)) ** 0.5  # of the freedom that permuted residuals have
    return _tested(
        units,
        lambda part: claims[:, which[part]].gather(2, order[part].expand(len(claims), -1, -1)),
        lambda: random_orders(clips, shuffles, seed, BLOCKS),
        lost,
    )


def _ways(activations: Float[Tensor, "unit clip"], fires: Bool[Tensor, "unit clip"]) -> list[Tensor]:
    """The three ways in which a unit may be told, [unit, clip] each."""
    rows = (savage_scores(activations), fires.double(), rank_shares(activations))
    return [standardised(one) for one in rows]


def _claimed(predictions: Float[Tensor, "prediction clip"]) -> list[Tensor]:
    """What is held against each of a unit's ways, [prediction, clip] each."""
    scores = standardised(savage_scores(predictions))
    return [scores, scores, standardised(rank_shares(predictions))]


def _without(rows: Float64[Tensor, "row clip"], basis: Float64[Tensor, "clip column"]) -> Float64[Tensor, "row clip"]:
    return rows - rows @ basis @ basis.T


def _directions(rows: Float64[Tensor, "row clip"], least: float) -> Float32[Tensor, "row clip"]:
    """Rows at length 1; zeros where too little is left of a row whose length was 1."""
    lengths = rows.norm(dim=1, keepdim=True)
    return torch.where(lengths > least, rows / lengths.clamp(min=least), 0.0).float()


def _tested(
    units: Float32[Tensor, "way unit clip"],
    claims_of: Callable[[Int64[Tensor, " some"]], Float32[Tensor, "way some clip"]],
    orders: Callable[[], Iterable[Int64[Tensor, " clip"]]],
    lost: float = 1.0,
) -> PermutationResult:
    """Rows are at length 1, or 0. `lost`: what a unit's own statistic is multiplied by before it is compared."""
    _, count, clips = units.shape
    results: list[tuple[Tensor, Tensor]] = []
    for part in torch.arange(count, device=units.device).split(max(1, _ELEMENTS // max(1, clips))):
        unit, claim = units[:, part].mT.contiguous(), claims_of(part).mT.contiguous()
        own = (unit * claim).sum(1)
        least = lost * own.amax(0) - _SAME
        reached, drawn, permuted = torch.zeros_like(own[0], dtype=torch.float64), 0, torch.empty_like(unit)
        for (
            order
        ) in orders():  # into one buffer: a result kept of each order would lie between freed ones, for gigabytes
            torch.index_select(unit, 1, order.to(unit.device), out=permuted)
            reached += permuted.mul_(claim).sum(1).amax(0) >= least
            drawn += 1
        results.append((own[0].double(), (1 + reached) / (1 + drawn)))
    none = torch.zeros(0, dtype=torch.float64, device=units.device)
    return PermutationResult(*(torch.cat([none, *parts]) for parts in (list(zip(*results, strict=True)) or [(), ()])))
