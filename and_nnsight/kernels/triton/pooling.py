"""One read of a site: the largest activation of each clip and unit, the first frame that has it, what is not finite."""

from __future__ import annotations

from typing import Any, no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Bool, Float, Float32, Int32, Int64
from torch import Tensor

from .launching import on_device_of

FRAMES_AT_ONCE, UNITS_AT_ONCE, WARPS = 16, 64, 4
_NO_FRAME = tl.constexpr(2**31 - 1)
_LOWEST = tl.constexpr(-3.4028234663852886e38)  # of finite float32


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
):
    """One program is one clip and a block of units. Each lane keeps the first of its largest; lanes are joined once.

    The first loop is made of few operations: it does not ask of each activation whether it is finite, but adds up
    0 · activation, which is NaN if one of them is not. Only where that is so, or where no frame was found (none counts,
    or the lowest number there is was the largest), a second loop looks at each.
    """
    clip = tl.program_id(1).to(tl.int64)
    unit = tl.program_id(0) * UNITS + tl.arange(0, UNITS)
    inside = unit < unit_count
    row = tl.arange(0, FRAMES)
    start_of_clip = activations + clip * clip_stride + unit[None, :]
    counted = mask + clip * mask_stride

    best = tl.full([FRAMES, UNITS], _LOWEST, tl.float32)
    where = tl.full([FRAMES, UNITS], _NO_FRAME, tl.int32)
    tell = tl.zeros([FRAMES, UNITS], tl.float32)
    for first in range(0, frame_count, FRAMES):
        frame = first + row
        counts = tl.load(counted + frame, mask=frame < frame_count, other=0) != 0
        there = counts[:, None] & inside[None, :]
        value = tl.load(start_of_clip + frame[:, None].to(tl.int64) * frame_stride, mask=there, other=0.0)
        value = value.to(tl.float32)  # at once: Triton's interpreter cannot compare bfloat16
        tell += value * 0.0
        better = there & (value > best)
        best = tl.where(better, value, best)
        where = tl.where(better, frame[:, None], where)
    top = tl.max(best, 0)
    place = tl.min(tl.where(best == top[None, :], where, _NO_FRAME), 0)
    suspect = (tl.sum(tell, 0) != 0.0) | (place == _NO_FRAME)
    wrong = tl.zeros([UNITS], tl.int32)
    if tl.max((suspect & inside).to(tl.int32), 0) > 0:
        best = tl.full([FRAMES, UNITS], float("-inf"), tl.float32)
        where = tl.full([FRAMES, UNITS], _NO_FRAME, tl.int32)
        bad = tl.zeros([FRAMES, UNITS], tl.int32)
        for first in range(0, frame_count, FRAMES):
            frame = first + row
            counts = tl.load(counted + frame, mask=frame < frame_count, other=0) != 0
            there = counts[:, None] & inside[None, :]
            value = tl.load(start_of_clip + frame[:, None].to(tl.int64) * frame_stride, mask=there, other=0.0)
            value = value.to(tl.float32)
            finite = tl.abs(value) < float("inf")  # not so for NaN
            bad += (there & (finite == 0)).to(tl.int32)
            better = there & finite & (value > best)
            best = tl.where(better, value, best)
            where = tl.where(better, frame[:, None], where)
        top = tl.max(best, 0)
        place = tl.min(tl.where(best == top[None, :], where, _NO_FRAME), 0)
        wrong = tl.sum(bad, 0)
        total = tl.sum(wrong, 0)
        if total > 0:
            tl.atomic_add(nonfinite, total.to(tl.int64))
    exists = place < _NO_FRAME
    out = clip * unit_count + unit
    tl.store(values + out, tl.where(exists, top, float("nan")), mask=inside)
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
                FRAMES=FRAMES_AT_ONCE, UNITS=UNITS_AT_ONCE, num_warps=WARPS,
            )  # fmt: skip
    return values, frames, nonfinite
