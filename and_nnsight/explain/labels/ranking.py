"""What the similarities share: each unit's best clips, their places among the scored ones, units so many at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

_ELEMENTS = 2**23  # at most about so many numbers in any intermediate


class Best(NamedTuple):
    """Each unit's best clips, best first: their activations and their places; place -1: empty."""

    values: Float[Tensor, "k unit"]
    rows: Int64[Tensor, "k unit"]


def best_clips(activations: Float[Tensor, "clip unit"], k: int, *, units_at_once: int | None = None) -> Best:
    """Each unit's k best clips: activation descending, then clip ascending. Non-finite activations never enter."""
    if k < 1:
        raise ValueError(f"k must be at least 1, not {k}")
    clips, units = activations.shape
    values = activations.new_empty(min(k, clips), units)
    rows = torch.empty(min(k, clips), units, dtype=torch.int64, device=activations.device)
    for part in parts(units, clips, units_at_once):
        finite = activations[:, part].isfinite()
        comparable = activations[:, part].masked_fill(~finite, -torch.inf)
        ordered, order = comparable.sort(dim=0, descending=True, stable=True)
        values[:, part] = ordered[:k]
        rows[:, part] = order[:k].masked_fill(~finite.gather(0, order[:k]), -1)
    return Best(values, rows)


def rows_of(clips: Int64[Tensor, "k unit"], ids: Int64[Tensor, " clip"]) -> Int64[Tensor, "k unit"]:
    """Where clips stand among the ascending ids of the clips that are scored; -1 for those that are not."""
    if len(ids) == 0:
        return torch.full_like(clips, -1)
    places = torch.searchsorted(ids, clips.contiguous()).clamp(max=len(ids) - 1)
    return places.masked_fill(ids[places] != clips, -1)


def packed(rows: Int64[Tensor, "k unit"]) -> Int64[Tensor, "filled unit"]:
    """The same places with the empty ones last; as many as the fullest unit has."""
    rows = rows.gather(0, packing(rows))
    return rows[: int((rows >= 0).any(1).sum())]


def packing(rows: Int64[Tensor, "k unit"]) -> Int64[Tensor, "k unit"]:
    """The order that puts the empty places last."""
    return (rows < 0).to(torch.int8).argsort(dim=0, stable=True)


def scored_first(values: Float[Tensor, "k unit"], rows: Int64[Tensor, "k unit"]) -> Best:
    """Each unit's clips in the same order but for those without a place, which come last."""
    order = packing(rows)
    return Best(values.gather(0, order), rows.gather(0, order))


def dense_ranks(scores: Float[Tensor, "clip concept"]) -> Int64[Tensor, "concept clip"]:
    """How many distinct lower scores a concept gives to other clips."""
    ordered, order = scores.T.contiguous().sort(dim=1)
    steps = torch.zeros_like(order)
    steps[:, 1:] = (ordered[:, 1:] != ordered[:, :-1]).cumsum(1)
    return torch.empty_like(order).scatter_(1, order, steps)


def order_of_some(
    ranks: Int64[Tensor, "concept clip"], rows: Int64[Tensor, "n unit"]
) -> Int64[Tensor, "concept unit n"]:
    """The ascending order in which each concept ranks each unit's n clips; among equals the earlier comes first."""
    n = len(rows)
    small = ranks.shape[1] * n < 2**31
    places = torch.arange(n, dtype=torch.int32 if small else torch.int64, device=rows.device)
    # Integers sort fast, and are all distinct here, so that any sort is a stable one.
    keys = ranks.to(places.dtype)[:, rows.T].mul_(n).add_(places)
    if keys.device.type == "cpu":  # NumPy has vector instructions for it: twenty times as fast as torch
        return torch.from_numpy(np.sort(keys.numpy(), axis=-1)).remainder_(n).long()
    return keys.sort(dim=-1).values.remainder_(n).long()


def by_count(rows: Int64[Tensor, "k unit"], each: int, units_at_once: int | None) -> Iterator[tuple[Tensor, int]]:
    """Units by how many places they have filled, so many at a time; those with none are left out."""
    filled = (rows >= 0).sum(0)
    for count in filled.unique().tolist():
        if count:
            for units in (filled == count).nonzero()[:, 0].split(at_once(each, units_at_once)):
                yield units, count


def parts(units: int, each: int, units_at_once: int | None) -> Iterator[slice]:
    """All units, so many at a time, if one needs `each` numbers."""
    step = at_once(each, units_at_once)
    yield from (slice(start, min(start + step, units)) for start in range(0, units, step))


def at_once(each: int, units_at_once: int | None) -> int:
    """How many units at a time, if one needs `each` numbers."""
    return max(1, units_at_once if units_at_once is not None else _ELEMENTS // max(1, each))
