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

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Float64, Int64
from torch import Tensor

from .metrics import standardised
from .top_down import linear_basis, monotone_residuals, scores_and_ranks

BLOCKS = 3
"""Of clips on which the nulls lead one to expect like values of a unit: within these its residuals are permuted."""

_SAME = 1e-5  # correlations that differ by less are equal: sums in another order differ in the last bits
_NOTHING = (0.25, 0.4, 0.25)  # of the length in each way (`_ways`): a unit of which the nulls leave less is theirs
_DECIMALS = 6
_ELEMENTS = 1 << 15  # clips × units that are permuted at once: what a processor's cache holds
_ORDERS = 64  # that are tried on one such part before the next


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


@dataclass(frozen=True, eq=False)
class BeyondNulls:
    """What the nulls leave of units in each way, at length 1 (see `beyond_nulls`).

    rows   the clips in each unit's `order`: by what the nulls lead one to expect of the unit
    basis  what is linear in the nulls
    """

    rows: Float32[Tensor, "way unit clip"]
    order: Int64[Tensor, "unit clip"]
    basis: Float64[Tensor, "clip column"]

    def of(self, units: Int64[Tensor, " some"]) -> BeyondNulls:
        """Of some of the units."""
        return BeyondNulls(self.rows[:, units], self.order[units], self.basis)


def unit_ways(
    activations: Float[Tensor, "unit clip"], fires: Bool[Tensor, "unit clip"]
) -> Float32[Tensor, "way unit clip"]:
    """The three ways in which units may be told. `fires`: the clips of each unit's top share."""
    scores, ranks = scores_and_ranks(activations)
    return torch.stack([standardised(rows) for rows in (scores, fires.double(), ranks)])


def claim_ways(predictions: Float[Tensor, "prediction clip"]) -> Float32[Tensor, "side prediction clip"]:
    """What is held against units: scores, which go with a unit's scores and with where it fires; and ranks."""
    return torch.stack([standardised(rows) for rows in scores_and_ranks(predictions)])


def beyond_nulls(
    ways: Float32[Tensor, "way unit clip"], nulls: Float[Tensor, "null clip"], directions: Int64[Tensor, "unit null"]
) -> BeyondNulls:
    """Take from units (`unit_ways`) the best sum of monotone functions of the nulls (see `monotone_residuals`), in the
    directions that were settled on other clips, and what is still linear in the nulls' ranks.

    Where the nulls leave too little to be told (6 % of the variance of scores and ranks, 16 % of firing) nothing is
    left: a unit that follows loudness measures it in another way than we do, and what is left of it is that difference.
    """
    basis = linear_basis(nulls)
    every_way, every_direction = ways.flatten(0, 1), directions.repeat(len(ways), 1)
    left = _without(monotone_residuals(every_way, nulls, every_direction), basis).view(ways.shape)
    order = (ways[0].double() - left[0]).round(decimals=_DECIMALS).argsort(dim=1, stable=True)
    rows = [_directions(rows, least).gather(1, order) for rows, least in zip(left, _NOTHING, strict=True)]
    return BeyondNulls(torch.stack(rows), order, basis)


def claims_beyond_nulls(
    claims: Float32[Tensor, "side prediction clip"], basis: Float64[Tensor, "clip column"]
) -> Float32[Tensor, "side prediction clip"]:
    """What is left of claims (`claim_ways`) without what is linear in the nulls' ranks."""
    return torch.stack([_directions(_without(rows.double(), basis), _NOTHING[0]) for rows in claims])


def prediction_test(
    units: Float32[Tensor, "way unit clip"],
    claims: Float32[Tensor, "side prediction clip"],
    which: Int64[Tensor, " unit"],
    shuffles: int,
    seed: int,
) -> PermutationResult:
    """Does its prediction (`which`) tell a unit's clips? Against random orders of the clips.

    0 and p 1 where the unit or its prediction is the same on all clips.
    """
    parts = [_Part(units[:, part], claims[:, which[part]]) for part in _parts(units)]
    return _tested(parts, random_orders(units.shape[2], shuffles, seed))


def partial_test(
    beyond: BeyondNulls,
    claims: Float32[Tensor, "side prediction clip"],
    which: Int64[Tensor, " unit"],
    shuffles: int,
    seed: int,
) -> PermutationResult:
    """Does its prediction tell of a unit what the nulls do not? Partial correlations, residuals permuted in blocks.

    claims  what is left of them (`claims_beyond_nulls`)

    The units' residuals are permuted (Kennedy 1995), but only among clips on which the nulls let one expect much the
    same of it (`BLOCKS`): a unit scatters more where it is loud, and so do claims of loudness, which makes free
    permutation reject too often (12 %, not 5). 0 and p 1 where the nulls leave nothing of a unit.
    """
    clips = beyond.rows.shape[2]
    lost = ((clips - beyond.basis.shape[1]) / (clips - 1)) ** 0.5  # of the freedom that permuted residuals have
    parts = []
    for part in _parts(beyond.rows):
        in_order = claims[:, which[part]].gather(2, beyond.order[part].expand(len(claims), -1, -1))
        parts.append(_Part(beyond.rows[:, part], in_order, lost))
    return _tested(parts, random_orders(clips, shuffles, seed, BLOCKS))


def _without(rows: Float64[Tensor, "row clip"], basis: Float64[Tensor, "clip column"]) -> Float64[Tensor, "row clip"]:
    return rows - rows @ basis @ basis.T


def _directions(rows: Float64[Tensor, "row clip"], least: float) -> Float32[Tensor, "row clip"]:
    """Rows at length 1; zeros where too little is left of a row whose length was 1."""
    lengths = rows.norm(dim=1, keepdim=True)
    return torch.where(lengths > least, rows / lengths.clamp(min=least), 0.0).float()


def _parts(units: Float32[Tensor, "way unit clip"]) -> list[slice]:
    step = max(1, _ELEMENTS // max(1, units.shape[2]))
    return [slice(start, start + step) for start in range(0, units.shape[1], step)]


class _Part:
    """A few units with their claims, row by row at length 1, or 0, and how many orders reached each unit's statistic.

    lost  what a unit's own statistic is multiplied by before it is compared
    """

    def __init__(
        self, units: Float32[Tensor, "way unit clip"], claims: Float32[Tensor, "side unit clip"], lost: float = 1.0
    ) -> None:
        self._units, self._claims = _side_by_side(units), _side_by_side(claims[[0, 0, 1]])
        self._permuted = torch.empty_like(self._units)
        own = self._correlations(torch.arange(len(self._units)))
        self.correlation, self._least = own[0].double(), lost * own.amax(0) - _SAME
        self.reached = torch.zeros_like(self.correlation)

    def try_all(self, orders: Iterable[Int64[Tensor, " clip"]]) -> None:
        """Count those that reach the statistic."""
        for order in orders:
            self.reached += self._correlations(order).amax(0) >= self._least

    def _correlations(self, order: Int64[Tensor, " clip"]) -> Float32[Tensor, "way unit"]:
        """Of the units with their claims, the units' clips in this order.

        All goes into one buffer: a result kept of each order would lie between freed ones, for gigabytes.
        """
        torch.index_select(self._units, 0, order.to(self._units.device), out=self._permuted)
        return self._permuted.mul_(self._claims).sum(0).view(3, -1)


def _side_by_side(rows: Float32[Tensor, "way unit clip"]) -> Float32[Tensor, "clip row"]:
    """All rows of a clip beside each other in memory: an order of the clips moves them together."""
    return rows.flatten(0, 1).T.contiguous()


def _tested(parts: Sequence[_Part], orders: Iterator[Int64[Tensor, " clip"]]) -> PermutationResult:
    drawn = 0
    while some := list(islice(orders, _ORDERS)):
        drawn += len(some)
        for part in parts:
            part.try_all(some)
    none = torch.zeros(0, dtype=torch.float64)
    correlation = torch.cat([part.correlation for part in parts] or [none])
    return PermutationResult(correlation, (1 + torch.cat([part.reached for part in parts] or [none])) / (1 + drawn))
