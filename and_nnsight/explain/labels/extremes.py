"""What each unit's extreme clips tell: those that are decided, and their places among the clips that have scores."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float32, Int64
from torch import Tensor

from ...dissection.dissection import Dissection
from .ranking import rows_of


def extremes(
    dissection: Dissection, site: str, ids: Int64[Tensor, " clip"]
) -> tuple[Float32[Tensor, "n unit"], Int64[Tensor, "n unit"], Bool[Tensor, " unit"]]:
    """Activations of each unit's extreme clips that are won by value, and their rows among the scored ones.

    Row −1: an empty place, of activation 0. Last: for which units these are all the clips that there are.
    """
    statistics = dissection[site]
    top, bottom = statistics.top, statistics.bottom
    upper = rows_of(top.clips, ids)
    lower = rows_of(bottom.clips, ids).masked_fill(_also_in(bottom.clips, top.clips), -1)
    every = torch.minimum(torch.tensor(len(ids)), statistics.finite)  # no unit can have more clips than these
    whole = (upper >= 0).sum(0) + (lower >= 0).sum(0) >= every  # then no list is cut, and ties are no matter
    upper = upper.masked_fill(~(won_by_value(dissection, site, "top") | whole), -1)
    lower = lower.masked_fill(~(won_by_value(dissection, site, "bottom") | whole), -1)
    rows = torch.cat([upper, lower])
    return torch.cat([top.values, bottom.values]).masked_fill(rows < 0, 0.0), rows, whole


def won_by_value(dissection: Dissection, site: str, side: str, most: int | None = None) -> Bool[Tensor, "k unit"]:
    """Exemplars that are decided, and no copies of others (see `and_nnsight.dissection.evidence`)."""
    evidence = dissection.evidence(site, side, most)
    return evidence.decided & ~evidence.copy


def _also_in(clips: Int64[Tensor, "k unit"], others: Int64[Tensor, "k unit"]) -> Bool[Tensor, "k unit"]:
    """Which clips a unit has among its others too: where there are few clips in all, top and bottom overlap."""
    return torch.stack([(row == others).any(0) for row in clips])
