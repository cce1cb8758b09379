"""How often do random orders of the clips do as well as a claim does? p by permutation, for many units at once.

A claim may tell a unit in two ways: the clips that it predicts highest are those that excite the unit most, throughout
(top-down correlation, see `top_down`), or they are those on which the unit fires at all (correlation with the unit's
top share of clips). The statistic is the larger of the two; so it is for every random order.

p = (1 + orders that reach the claim's own statistic) / (1 + orders): it is never 0, and never too small (Phipson &
Smyth 2010). What equals the claim's own counts as reaching it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Float64, Int64
from torch import Tensor

from .agreement import standardised
from .top_down import linear_basis, monotone_residuals, savage_scores

_SAME = 1e-5  # correlations that differ by less are equal: sums in another order differ in the last bits
_NOTHING = 0.1  # of a row's length: a hundredth of its variance
_ELEMENTS = 1 << 19  # clips × units that are permuted at once: what a processor's cache holds


@dataclass(frozen=True)
class Tested:
    """Of each unit: its top-down correlation with its claim, and how often random orders of the clips do as well."""

    correlation: Float64[Tensor, " unit"]
    p: Float64[Tensor, " unit"]


def random_orders(clips: int, shuffles: int, seed: int) -> Iterator[Int64[Tensor, " clip"]]:
    """So many random orders of the clips; the same for the same numbers."""
    random = np.random.default_rng([seed, clips])
    for _ in range(shuffles):
        yield torch.from_numpy(random.permutation(clips))


def prediction_test(
    activations: Float[Tensor, "unit clip"],
    fires: Bool[Tensor, "unit clip"],
    predictions: Float[Tensor, "prediction clip"],
    which: Int64[Tensor, " unit"],
    shuffles: int,
    seed: int,
) -> Tested:
    """Does its prediction (`which`) tell a unit's clips? Against random orders of the clips.

    fires  the clips of the unit's top share

    0 and p 1 where the unit or its prediction is the same on all clips.
    """
    units = torch.stack([standardised(savage_scores(activations)), standardised(fires.double())])
    return _tested(units, standardised(savage_scores(predictions)), which, None, shuffles, seed)


def partial_test(
    activations: Float[Tensor, "unit clip"],
    fires: Bool[Tensor, "unit clip"],
    predictions: Float[Tensor, "prediction clip"],
    which: Int64[Tensor, " unit"],
    nulls: Float[Tensor, "null clip"],
    directions: Int64[Tensor, "unit null"],
    shuffles: int,
    seed: int,
) -> Tested:
    """Does its prediction tell of a unit what the nulls do not? Partial correlations, p by Freedman & Lane.

    From the unit (its Savage scores, and on which clips it fires) the best sum of monotone functions of the nulls is
    taken (see `monotone_residuals`), in the directions that were settled on other clips, and what is still linear in
    the nulls' ranks; from the claim's Savage scores what is linear in them. The residuals of the unit are permuted, and
    what is linear in the nulls is taken from them again (Freedman & Lane 1983; Winkler et al. 2014, algorithm 1).

    0 and p 1 where the nulls leave less than 1 % of the variance of the unit, or of the claim, to be told.
    """
    basis = linear_basis(nulls)
    units = torch.stack([
        _directions(_without(monotone_residuals(standardised(rows), nulls, directions), basis))
        for rows in (savage_scores(activations), fires.double())
    ])  # fmt: skip
    claims = _directions(_without(standardised(savage_scores(predictions)).double(), basis))
    return _tested(units, claims, which, basis, shuffles, seed)


def _without(rows: Float64[Tensor, "row clip"], basis: Float64[Tensor, "clip column"]) -> Float64[Tensor, "row clip"]:
    return rows - rows @ basis @ basis.T


def _directions(rows: Float64[Tensor, "row clip"]) -> Float32[Tensor, "row clip"]:
    """Rows at length 1; zeros where too little is left of a row whose length was 1."""
    lengths = rows.norm(dim=1, keepdim=True)
    return torch.where(lengths > _NOTHING, rows / lengths.clamp(min=_NOTHING), 0.0).float()


def _tested(
    units: Float32[Tensor, "way unit clip"],
    claims: Float32[Tensor, "prediction clip"],
    which: Int64[Tensor, " unit"],
    basis: Float64[Tensor, "clip column"] | None,
    shuffles: int,
    seed: int,
) -> Tested:
    """Rows are at length 1, or 0. With a basis, permuted units are at length 1 again without what lies in it."""
    _, count, clips = units.shape
    columns = None if basis is None else basis.T.float()
    found: list[tuple[Tensor, Tensor]] = []
    for part in torch.arange(count, device=units.device).split(max(1, _ELEMENTS // max(1, clips))):
        unit, claim = units[:, part].mT.contiguous(), claims[which[part]].T.contiguous()
        own = _correlations(unit, claim, columns)
        largest = own.amax(0) - _SAME
        reached = torch.ones(len(part), dtype=torch.float64, device=units.device)
        for order in random_orders(clips, shuffles, seed):
            reached += _correlations(unit[:, order.to(units.device)], claim, columns).amax(0) >= largest
        found.append((own[0].double(), reached / (1 + shuffles)))
    none = torch.zeros(0, dtype=torch.float64, device=units.device)
    return Tested(*(torch.cat([none, *parts]) for parts in (list(zip(*found, strict=True)) or [(), ()])))


def _correlations(
    unit: Float32[Tensor, "way clip unit"],
    claim: Float32[Tensor, "clip unit"],
    columns: Float32[Tensor, "column clip"] | None,
) -> Float32[Tensor, "way unit"]:
    """Of rows at length 1 with the claims, which have nothing in the columns; what of a unit lies in them is left out."""
    products = (unit * claim).sum(1)
    if columns is None:
        return products
    inside = (columns @ unit).square().sum(1)
    return products / (1 - inside).clamp(min=_SAME).sqrt()
