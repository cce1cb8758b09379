"""Keep each unit's K best clips, in a total order: activation descending, then clip id ascending.

The order is total, so the result depends neither on how the stream was cut into batches nor on how parts were merged.
`torch.topk` gives no order among equals; two stable sorts do.

How many clips have the value of the last place and were left out is counted too: without it nobody could tell whether
that place was won by value or by the order of the files.

`best_clips`, `border_ties` and `as_candidates` are sent to servers as source text: plain functions of torch that give
plain tensors and tuples.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Float32, Int32, Int64
from torch import Tensor


class TopKState(NamedTuple):
    """The best clips of each unit, best first.

    values  float32; −inf (for bottom-K: +inf) where fewer than K clips came
    clips   ids; −1 where empty
    frames  positions on the site's token axis; −1 where empty or where pooling has no single frame
    ties    how many clips have the value of the last place and are not kept
    """

    values: Float32[Tensor, "k unit"]
    clips: Int64[Tensor, "k unit"]
    frames: Int32[Tensor, "k unit"]
    ties: Int64[Tensor, " unit"]


def empty_topk(k: int, units: int, *, largest: bool = True, device: torch.device | str | None = None) -> TopKState:
    """A state that no clip has entered."""
    return TopKState(
        torch.full((k, units), -torch.inf if largest else torch.inf, dtype=torch.float32, device=device),
        torch.full((k, units), -1, dtype=torch.int64, device=device),
        torch.full((k, units), -1, dtype=torch.int32, device=device),
        torch.zeros(units, dtype=torch.int64, device=device),
    )


def topk_update(
    state: TopKState,
    values: Float[Tensor, "clip unit"],
    clips: Int64[Tensor, " clip"],
    frames: Int32[Tensor, "clip unit"],
    *,
    largest: bool = True,
    in_order: bool = False,
) -> TopKState:
    """The state after a batch of pooled values. Non-finite values never enter. Each clip may come once only.

    `in_order` promises that the batch's ids ascend and all lie above the state's, which saves one of two sorts.
    """
    none = torch.zeros_like(state.ties)
    return _best(state, TopKState(*as_candidates(values, clips, frames, largest), none), largest, in_order)


def topk_merge(state: TopKState, other: TopKState, *, largest: bool = True, in_order: bool = False) -> TopKState:
    """The K best of two states over disjoint clips; K is that of the first.

    `in_order` promises that all ids of the second lie above those of the first, which saves one of two sorts.
    """
    return _best(state, other, largest, in_order)


def _best(state: TopKState, other: TopKState, largest: bool, in_order: bool) -> TopKState:
    values, clips, frames = (torch.cat(pair) for pair in zip(state[:3], other[:3], strict=True))
    best = best_clips(values, clips, frames, len(state.values), largest, in_order)
    ties = border_ties(values, clips, best[0], best[1])
    for part in (state, other):  # what it left out earlier still ties if the last place has its last place's value
        if len(part.values):
            ties = ties + part.ties.masked_fill(part.values[-1] != best[0][-1], 0)
    return TopKState(*best, ties)


def in_total_order(state: TopKState, *, largest: bool = True) -> TopKState:
    """The same clips, best first, of a state that holds them in any order."""
    return TopKState(*best_clips(*state[:3], len(state.values), largest, in_order=False), state.ties)


def as_candidates(
    values: Float[Tensor, "row unit"], clips: Int64[Tensor, " row"], frames: Int32[Tensor, "row unit"], largest: bool
) -> tuple[Float32[Tensor, "row unit"], Int64[Tensor, "row unit"], Int32[Tensor, "row unit"]]:
    """Pooled values, clip ids and frames as `best_clips` takes them: what is not finite becomes an empty place."""
    values = values.float()  # first, since float64 may become infinite
    unusable = ~values.isfinite()
    return (
        values.masked_fill(unusable, -torch.inf if largest else torch.inf),
        clips[:, None].expand(values.shape).masked_fill(unusable, -1),
        frames.masked_fill(unusable, -1),
    )


def best_clips(
    values: Float[Tensor, "row unit"],
    clips: Int64[Tensor, "row unit"],
    frames: Int32[Tensor, "row unit"],
    k: int,
    largest: bool,
    in_order: bool,
) -> tuple[Float[Tensor, "kept unit"], Int64[Tensor, "kept unit"], Int32[Tensor, "kept unit"]]:
    """The k best of each unit's candidates, best first; all of them, ordered, where there are fewer than k.

    `in_order` promises that among a unit's equal values the clip ids ascend already, which saves one of two sorts.
    """
    if in_order:
        order = values.argsort(dim=0, descending=largest, stable=True)[:k]
    else:
        by_clip = clips.argsort(dim=0, stable=True)
        by_value = values.gather(0, by_clip).argsort(dim=0, descending=largest, stable=True)
        order = by_clip.gather(0, by_value)[:k]
    return values.gather(0, order), clips.gather(0, order), frames.gather(0, order)


def border_ties(
    values: Float32[Tensor, "row unit"],
    clips: Int64[Tensor, "row unit"],
    kept_values: Float32[Tensor, "kept unit"],
    kept_clips: Int64[Tensor, "kept unit"],
) -> Int64[Tensor, " unit"]:
    """How many of each unit's candidates have the value of the last place that was kept, and are not kept."""
    border = kept_values[-1:]  # a row, or none where there are no candidates
    candidates = ((values == border) & (clips >= 0)).sum(0)
    return candidates - ((kept_values == border) & (kept_clips >= 0)).sum(0)
