"""The top-K of a batch's pooled values, in place and unordered: a unit's worst clip gives way to a better one."""

from __future__ import annotations

from typing import Any, no_type_check

import triton
import triton.language as tl
from jaxtyping import Float, Int32, Int64
from torch import Tensor

from ..topk import TopKState
from .launching import on_device_of

UNITS_AT_ONCE, WARPS = 32, 1
_UNROLLED = tl.constexpr(16)  # places of a list that are read together


@triton.jit
@no_type_check
def _worst(values, clips, unit, inside, units, SIGN: tl.constexpr, K: tl.constexpr, UNITS: tl.constexpr):
    """Each unit's last place in the total order: its value times SIGN, its clip and where it is kept."""
    value = tl.full([UNITS], float("inf"), tl.float32)
    clip = tl.full([UNITS], -2, tl.int64)
    slot = tl.zeros([UNITS], tl.int64)
    for first in range(0, K, _UNROLLED):
        for step in tl.static_range(_UNROLLED):
            place = first + step
            kept = unit + tl.cast(place, tl.int64) * units
            there = inside & (place < K)
            other = tl.load(values + kept, mask=there, other=float("inf")) * SIGN
            its_clip = tl.load(clips + kept, mask=there, other=-3)
            worse = there & ((other < value) | ((other == value) & (its_clip > clip)))
            value = tl.where(worse, other, value)
            clip = tl.where(worse, its_clip, clip)
            slot = tl.where(worse, kept, slot)
    return value, clip, slot


@triton.jit
@no_type_check
def topk_kernel(
    kept_values,
    kept_clips,
    kept_frames,
    ties,
    values,
    clips,
    frames,
    clip_count,
    units,
    SIGN: tl.constexpr,
    K: tl.constexpr,
    UNITS: tl.constexpr,
):
    """One program is a block of units and goes through a batch's clips; what it reads of the state it alone writes."""
    unit = tl.program_id(0).to(tl.int64) * UNITS + tl.arange(0, UNITS)
    inside = unit < units
    tied = tl.load(ties + unit, mask=inside, other=0)
    worst, worst_clip, slot = _worst(kept_values, kept_clips, unit, inside, units, SIGN, K, UNITS)
    coming = tl.load(values + unit, mask=inside, other=float("nan"))
    for row in range(clip_count):
        own = coming
        # The next clip's values are under way while this one's are looked at.
        after = tl.cast(row + 1, tl.int64) * units
        coming = tl.load(values + unit + after, mask=inside & (row + 1 < clip_count), other=float("nan"))
        clip = tl.load(clips + row)
        value = own * SIGN
        usable = tl.abs(value) < float("inf")  # not so for NaN
        level = usable & (value == worst)
        enters = usable & ((value > worst) | (level & (clip < worst_clip)))
        tied += (level & (enters == 0)).to(tl.int64)
        if tl.max(enters.to(tl.int32), 0) > 0:
            at = unit + tl.cast(row, tl.int64) * units
            tl.store(kept_values + slot, own, mask=enters)
            tl.store(kept_clips + slot, tl.zeros([UNITS], tl.int64) + clip, mask=enters)
            tl.store(kept_frames + slot, tl.load(frames + at, mask=enters, other=-1), mask=enters)
            # What left still ties if the last place has its value; an empty place ties with nothing.
            before, clip_before = worst, worst_clip
            worst, worst_clip, slot = _worst(kept_values, kept_clips, unit, inside, units, SIGN, K, UNITS)
            still = (worst == before) & (clip_before >= 0)
            tied = tl.where(enters, tl.where(still, tied + 1, 0), tied)
    tl.store(ties + unit, tied, mask=inside)


def topk_update_in_place(
    state: TopKState,
    values: Float[Tensor, "clip unit"],
    clips: Int64[Tensor, " clip"],
    frames: Int32[Tensor, "clip unit"],
    *,
    largest: bool = True,
) -> None:
    """Make a contiguous state hold what `kernels.topk_update` gives, in any order. Each clip may come once only."""
    k, units = state.values.shape
    values, clips, frames = values.float().contiguous(), clips.contiguous(), frames.contiguous()
    if len(values) and units:
        with on_device_of(values):
            launch: Any = topk_kernel[(triton.cdiv(units, UNITS_AT_ONCE),)]  # `num_warps` is Triton's own
            launch(
                *state, values, clips, frames, len(values), units,
                SIGN=1.0 if largest else -1.0, K=k, UNITS=UNITS_AT_ONCE, num_warps=WARPS,
            )  # fmt: skip
