"""One read of a site: the largest activation of each clip and unit, the first frame that has it, what is not finite."""

from __future__ import annotations

from typing import Any, no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Bool, Float, Float32, Int32, Int64
from torch import Tensor

from .launching import on_device_of

# Of sixty ways tried on an H200 the fastest or nearly so in bfloat16 and float32, at 768 and 3,072 units.
FRAMES_AT_ONCE, UNITS_AT_ONCE, STAGES, WARPS = 8, 64, 5, 2
_NO_FRAME = tl.constexpr(2**31 - 1)
_LOWEST = tl.constexpr(-3.4028234663852886e38)  # of finite float32
_SCANNED = tl.constexpr(1024)  # frames of a mask that are looked at together


@triton.jit
@no_type_check
def _span(mask, frame_count):
    """Where the frames that count begin, and where they end; nothing outside is read."""
    low = frame_count
    high = 0
    for first in range(0, frame_count, _SCANNED):
        frame = first + tl.arange(0, _SCANNED)
        counts = tl.load(mask + frame, mask=frame < frame_count, other=0) != 0
        low = tl.minimum(low, tl.min(tl.where(counts, frame, frame_count), 0))
        high = tl.maximum(high, tl.max(tl.where(counts, frame + 1, 0), 0))
    return low, high


@triton.jit
@no_type_check
def _read(activations, mask, frame, high, frame_stride, inside):
    """Some frames of a block of units in float32, and which of them count. One load does not wait for the other."""
    within = frame < high
    counts = tl.load(mask + frame, mask=within, other=0) != 0
    place = activations + frame[:, None].to(tl.int64) * frame_stride
    value = tl.load(place, mask=within[:, None] & inside[None, :], other=0.0)
    return value.to(tl.float32), counts[:, None]  # at once: Triton's interpreter cannot compare bfloat16


@triton.jit
@no_type_check
def _larger(best, where, value, frame, usable):
    """The largest so far and the first frame that had it, a lane."""
    better = usable & (value > best)
    return tl.where(better, value, best), tl.where(better, frame[:, None], where)


@triton.jit
@no_type_check
def _joined(best, where):
    """A unit's largest over all lanes and its first frame; `_NO_FRAME` where there is none."""
    top = tl.max(best, 0)
    return top, tl.min(tl.where(best == top[None, :], where, _NO_FRAME), 0)


@triton.jit
@no_type_check
def pool_max_kernel(
    activations,
    mask,
    values,
    frames,
    nonfinite,
    frame_count,
    unit_count,
    clip_stride,
    frame_stride,
    mask_stride,
    FRAMES: tl.constexpr,
    UNITS: tl.constexpr,
    STAGES: tl.constexpr,
):
    """One program is one clip and a block of units. Each lane keeps the first of its largest; lanes are joined once.

    The first loop has few operations, and the loads of several rounds under way: it does not ask of each activation
    whether it is finite, but adds up 0 · activation, which is NaN if one of them is not. Only where that is so, or
    where no frame was found (none counts, or the lowest number there is was the largest), a second loop looks at each.
    """
    # Backwards: what a layer wrote last may still be in the cache, and what is read last is what the next reads first.
    clip = (tl.num_programs(1) - 1 - tl.program_id(1)).to(tl.int64)
    unit = tl.program_id(0) * UNITS + tl.arange(0, UNITS)
    inside = unit < unit_count
    start = activations + clip * clip_stride + unit[None, :]
    counted = mask + clip * mask_stride
    low, high = _span(counted, frame_count)

    best = tl.full([FRAMES, UNITS], _LOWEST, tl.float32)
    where = tl.full([FRAMES, UNITS], _NO_FRAME, tl.int32)
    tell = tl.zeros([FRAMES, UNITS], tl.float32)
    for first in tl.range(low, high, FRAMES, num_stages=STAGES):
        frame = first + tl.arange(0, FRAMES)
        value, counts = _read(start, counted, frame, high, frame_stride, inside)
        tell += value * 0.0
        best, where = _larger(best, where, value, frame, counts)
    top, place = _joined(best, where)
    suspect = (tl.sum(tell, 0) != 0.0) | (place == _NO_FRAME)
    if tl.max((suspect & inside).to(tl.int32), 0) > 0:
        best = tl.full([FRAMES, UNITS], float("-inf"), tl.float32)
        where = tl.full([FRAMES, UNITS], _NO_FRAME, tl.int32)
        bad = tl.zeros([FRAMES, UNITS], tl.int32)
        for first in range(low, high, FRAMES):
            frame = first + tl.arange(0, FRAMES)
            value, counts = _read(start, counted, frame, high, frame_stride, inside)
            finite = tl.abs(value) < float("inf")  # not so for NaN
            bad += (counts & (finite == 0)).to(tl.int32)
            best, where = _larger(best, where, value, frame, counts & finite)
        top, place = _joined(best, where)
        total = tl.sum(tl.sum(bad, 0), 0)
        if total > 0:
            tl.atomic_add(nonfinite, total.to(tl.int64))
    exists = place < _NO_FRAME
    out = clip * unit_count + unit
    tl.store(values + out, tl.where(exists, top + 0.0, float("nan")), mask=inside)
    tl.store(frames + out, tl.where(exists, place, -1), mask=inside)


def pool_max(
    activations: Float[Tensor, "clip frame unit"], mask: Bool[Tensor, "clip frame"]
) -> tuple[Float32[Tensor, "clip unit"], Int32[Tensor, "clip unit"], Int64[Tensor, ""]]:
    """What `kernels.pool_max` gives, from one read of activations, whose units must lie side by side."""
    clips, frame_count, units = activations.shape
    device = activations.device
    values = torch.empty((clips, units), dtype=torch.float32, device=device)
    frames = torch.empty((clips, units), dtype=torch.int32, device=device)
    nonfinite = torch.zeros((), dtype=torch.int64, device=device)
    mask = mask.contiguous()
    if clips:
        with on_device_of(activations):
            launch: Any = pool_max_kernel[triton.cdiv(units, UNITS_AT_ONCE), clips]  # `num_warps` is Triton's own
            launch(
                activations, mask, values, frames, nonfinite, frame_count, units,
                activations.stride(0), activations.stride(1), mask.stride(0),
                FRAMES=FRAMES_AT_ONCE, UNITS=UNITS_AT_ONCE, STAGES=STAGES, num_warps=WARPS,
            )  # fmt: skip
    return values, frames, nonfinite
