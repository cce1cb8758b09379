"""How often do random orders of the clips do as well as a claim does? p by permutation, for many units at once.

A claim may tell a unit in two ways: the clips that it predicts highest are those that excite the unit most, throughout
(top-down correlation, see `top_down`), or they are those on which the unit fires at all (correlation with the unit's
top share of clips). The statistic is the larger of the two; so it is for every random order.

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

from .agreement import standardised
from .top_down import linear_basis, monotone_residuals, savage_scores

BLOCKS = 3
"""Of clips on which the nulls lead one to expect like values of a unit: within these its residuals are permuted."""

_SAME = 1e-5  # correlations that differ by less are equal: sums in another order differ in the last bits
_NOTHING = (0.25, 0.4)  # of the length of Savage scores, and of firing: a unit of which the nulls leave less is theirs
_DECIMALS = 6
_ELEMENTS = 1 << 19  # clips × units that are permuted at once: what a processor's cache holds


@dataclass(frozen=True)
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
    units = torch.stack([standardised(savage_scores(activations)), standardised(fires.double())])
    claims = standardised(savage_scores(predictions))
    return _tested(units, lambda part: claims[which[part]], lambda: random_orders(units.shape[2], shuffles, seed))


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

    From the unit (its Savage scores, and on which clips it fires) the best sum of monotone functions of the nulls is
    taken (see `monotone_residuals`), in the directions that were settled on other clips, and what is still linear in
    the nulls' ranks; from the claim's Savage scores what is linear in them. The unit's residuals are permuted (Kennedy
    1995), but only among clips on which the nulls let one expect much the same of it (`BLOCKS`): a unit scatters more
    where it is loud, and so do claims of loudness, which makes free permutation reject too often (12 %, not 5).

    0 and p 1 where the nulls leave too little to be told (6 % of the variance of the Savage scores, 16 % of firing):
    a unit that follows loudness measures it in another way than we do, and what is left of it is that difference.
    """
    basis = linear_basis(nulls)
    wholes = [standardised(rows) for rows in (savage_scores(activations), fires.double())]
    left = [_without(monotone_residuals(rows, nulls, directions), basis) for rows in wholes]
    order = (wholes[0].double() - left[0]).round(decimals=_DECIMALS).argsort(dim=1, stable=True)
    claims = _directions(_without(standardised(savage_scores(predictions)).double(), basis), _NOTHING[0])
    units = torch.stack([
        _directions(rows, least).gather(1, order) for rows, least in zip(left, _NOTHING, strict=True)
    ])  # fmt: skip
    clips = units.shape[2]
    lost = ((clips - basis.shape[1]) / (clips - 1)) ** 0.5  # of the freedom that permuted residuals have
    return _tested(
        units,
        lambda part: claims[which[part]].gather(1, order[part]),
        lambda: random_orders(clips, shuffles, seed, BLOCKS),
        lost,
    )


def _without(rows: Float64[Tensor, "row clip"], basis: Float64[Tensor, "clip column"]) -> Float64[Tensor, "row clip"]:
    return rows - rows @ basis @ basis.T


def _directions(rows: Float64[Tensor, "row clip"], least: float) -> Float32[Tensor, "row clip"]:
    """Rows at length 1; zeros where too little is left of a row whose length was 1."""
    lengths = rows.norm(dim=1, keepdim=True)
    return torch.where(lengths > least, rows / lengths.clamp(min=least), 0.0).float()


def _tested(
    units: Float32[Tensor, "way unit clip"],
    claims_of: Callable[[Int64[Tensor, " some"]], Float32[Tensor, "some clip"]],
    orders: Callable[[], Iterable[Int64[Tensor, " clip"]]],
    lost: float = 1.0,
) -> PermutationResult:
    """Rows are at length 1, or 0. `lost`: what a unit's own statistic is multiplied by before it is compared."""
    _, count, clips = units.shape
    found: list[tuple[Tensor, Tensor]] = []
    for part in torch.arange(count, device=units.device).split(max(1, _ELEMENTS // max(1, clips))):
        unit, claim = units[:, part].mT.contiguous(), claims_of(part).T.contiguous()
        own = (unit * claim).sum(1)
        least = lost * own.amax(0) - _SAME
        reached = [(unit[:, order] * claim).sum(1).amax(0) >= least for order in orders()]
        p = (1 + torch.stack(reached).sum(0, dtype=torch.float64)) / (1 + len(reached))
        found.append((own[0].double(), p))
    none = torch.zeros(0, dtype=torch.float64, device=units.device)
    return PermutationResult(*(torch.cat([none, *parts]) for parts in (list(zip(*found, strict=True)) or [(), ()])))
