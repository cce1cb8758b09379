"""clip × frame × unit to clip × unit, over the frames that carry the clip's own audio.

`pool_frames` and what it calls are sent to servers as source text, where neither this package nor einops nor jaxtyping
need be: plain functions of torch and math that give plain tuples, without decorators.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Float32, Int32, Int64
from torch import Tensor

from .fused import fused_pooling

POOLINGS = ("max", "mean", "cls", "first", "last")


class Pooled(NamedTuple):
    """One value a clip and unit.

    values     float32; NaN where no frame that counts is finite. A zero that is a maximum is +0: which of −0 and +0
               wins would hang on the order of comparisons
    frames     position on the site's own token axis that the value was read at; −1 where there is no single one
    nonfinite  how many activations on frames that count were NaN or infinite
    """

    values: Float32[Tensor, "clip unit"]
    frames: Int32[Tensor, "clip unit"]
    nonfinite: Int64[Tensor, ""]


def pool(
    activations: Float[Tensor, "clip frame unit"],
    mask: Bool[Tensor, "clip frame"],
    how: str = "max",
    bounds: tuple[Float32[Tensor, " unit"], Float32[Tensor, " unit"]] | None = None,
) -> Pooled:
    """Pool the frames that count. Non-finite activations are counted and left out.

    max    the largest activation and the first frame that has it
    mean   the mean over frames
    cls    the special token at position 0, whatever the mask says of it
    first  the first frame that counts; `last` the last one

    `bounds` as for `pool_max_on_cpu`: which frames are wanted. Raises ValueError for another `how`.
    """
    kernels = fused_pooling(activations) if how == "max" else None
    if kernels is not None:
        return Pooled(*kernels.pool_max(activations, mask))
    if how == "max" and bounds is not None and activations.device.type == "cpu" and len(mask):
        return pool_max_on_cpu(activations, mask, bounds)
    return Pooled(*pool_frames(activations, mask, how))


def pool_max(activations: Float[Tensor, "clip frame unit"], mask: Bool[Tensor, "clip frame"]) -> Pooled:
    """The reference for "max", on any device and without synchronising with it."""
    return Pooled(*_max_of_frames(activations, mask))


def pool_max_on_cpu(
    activations: Float[Tensor, "clip frame unit"],
    mask: Bool[Tensor, "clip frame"],
    bounds: tuple[Float32[Tensor, " unit"], Float32[Tensor, " unit"]] | None = None,
) -> Pooled:
    """`pool_max` in hardly more than one pass over the frames that count; padding is not read at all.

    bounds  frames are wanted of values that are at least the first or at most the second; others may have −1. That
            saves the search for them, where few are wanted
    """
    return Pooled(*_max_of_frames_on_cpu(activations, mask, bounds))


def pool_frames(
    activations: Float[Tensor, "clip frame unit"], mask: Bool[Tensor, "clip frame"], how: str
) -> tuple[Float32[Tensor, "clip unit"], Int32[Tensor, "clip unit"], Int64[Tensor, ""]]:
    """The values, frames and number of non-finite activations of `pool`. Raises ValueError for another `how`."""
    if how == "max":
        on_cpu = activations.device.type == "cpu" and len(mask) > 0
        return _max_of_frames_on_cpu(activations, mask) if on_cpu else _max_of_frames(activations, mask)
    if how == "mean":
        return _mean_of_frames(activations, mask)
    if how == "cls":
        position = torch.zeros(len(activations), dtype=torch.int64, device=activations.device)
    elif how == "first":
        position = mask.int().argmax(1)
    elif how == "last":
        position = mask.shape[1] - 1 - mask.flip(1).int().argmax(1)
    else:
        raise ValueError(f"unknown pooling {how!r}: one of {', '.join(POOLINGS)}")
    return _read_at(activations, position, mask.any(1) | (how == "cls"))


def _finite(activations: Float[Tensor, "clip frame unit"]) -> Bool[Tensor, "clip frame unit"]:
    """Values are kept in float32: float64 beyond its range counts as infinite."""
    return (activations.float() if activations.dtype == torch.float64 else activations).isfinite()


def _max_of_frames(
    activations: Float[Tensor, "clip frame unit"], mask: Bool[Tensor, "clip frame"]
) -> tuple[Float32[Tensor, "clip unit"], Int32[Tensor, "clip unit"], Int64[Tensor, ""]]:
    usable = _finite(activations) & mask[:, :, None]
    values, frames = activations.masked_fill(~usable, -torch.inf).max(1)
    values = values.float() + 0.0
    finite = values.isfinite()
    nonfinite = mask.sum() * activations.shape[2] - usable.sum()
    return values.masked_fill(~finite, torch.nan), frames.int().masked_fill(~finite, -1), nonfinite


def _mean_of_frames(
    activations: Float[Tensor, "clip frame unit"], mask: Bool[Tensor, "clip frame"]
) -> tuple[Float32[Tensor, "clip unit"], Int32[Tensor, "clip unit"], Int64[Tensor, ""]]:
    usable = _finite(activations) & mask[:, :, None]
    # In float64, so that the mean depends neither on how a sum over so many frames is ordered nor on its range.
    total = activations.masked_fill(~usable, 0.0).sum(1, dtype=torch.float64)
    values = (total / usable.sum(1)).float()  # 0 / 0 is NaN: no usable frame
    frames = torch.full_like(values, -1, dtype=torch.int32)
    return values, frames, mask.sum() * activations.shape[2] - usable.sum()


def _read_at(
    activations: Float[Tensor, "clip frame unit"], position: Int64[Tensor, " clip"], exists: Bool[Tensor, " clip"]
) -> tuple[Float32[Tensor, "clip unit"], Int32[Tensor, "clip unit"], Int64[Tensor, ""]]:
    rows = torch.arange(len(activations), device=activations.device)
    values = activations[rows, position].float()
    finite = values.isfinite()
    usable = finite & exists[:, None]
    frames = position.int()[:, None].expand_as(values).masked_fill(~usable, -1)
    return values.masked_fill(~usable, torch.nan), frames, (exists[:, None] & ~finite).sum()


def _max_of_frames_on_cpu(
    activations: Float[Tensor, "clip frame unit"],
    mask: Bool[Tensor, "clip frame"],
    bounds: tuple[Float32[Tensor, " unit"], Float32[Tensor, " unit"]] | None = None,
) -> tuple[Float32[Tensor, "clip unit"], Int32[Tensor, "clip unit"], Int64[Tensor, ""]]:
    """Where the same frames of all clips count, pool them together, else clip by clip.

    torch's maximum with its position along a strided axis costs about twenty times its maximum alone, so the frames
    are searched in blocks: the maximum of each block, the first block that has the largest, the first frame in it.
    """
    shared = bool((mask == mask[:1]).all())
    runs = [(slice(None), mask[0])] if shared else [(slice(clip, clip + 1), row) for clip, row in enumerate(mask)]
    parts = [_max_of_run(activations[clips], row, bounds) for clips, row in runs]
    if len(parts) == 1:
        return parts[0]
    values, frames, nonfinite = zip(*parts, strict=True)
    return torch.cat(values), torch.cat(frames), torch.stack(nonfinite).sum()


def _max_of_run(
    activations: Float[Tensor, "clip frame unit"],
    counts: Bool[Tensor, " frame"],
    bounds: tuple[Float32[Tensor, " unit"], Float32[Tensor, " unit"]] | None,
) -> tuple[Float32[Tensor, "clip unit"], Int32[Tensor, "clip unit"], Int64[Tensor, ""]]:
    """Pool clips of which the same frames count."""
    positions = counts.nonzero()[:, 0]
    if not len(positions):
        return _max_of_frames(activations, counts.expand(activations.shape[:2]))
    first, last = int(positions[0]), int(positions[-1])
    gapless = last - first + 1 == len(positions)
    chosen = activations[:, first : last + 1] if gapless else activations[:, positions]
    # One number tells whether anything is not finite: sums carry NaN and infinity (and, rarely, overflow: then the
    # slow path runs for nothing).
    if chosen.sum(dtype=torch.float32).isfinite():
        values, frames = _maximum_in_blocks(chosen, bounds)
        nonfinite = torch.zeros((), dtype=torch.int64)
    else:
        values, frames, nonfinite = _max_of_frames(chosen, torch.ones(chosen.shape[:2], dtype=torch.bool))
    return values, torch.where(frames >= 0, positions[frames.clamp(min=0).long()].int(), -1), nonfinite


def _maximum_in_blocks(
    activations: Float[Tensor, "clip frame unit"],
    bounds: tuple[Float32[Tensor, " unit"], Float32[Tensor, " unit"]] | None,
) -> tuple[Float32[Tensor, "clip unit"], Int32[Tensor, "clip unit"]]:
    frames = activations.shape[1]
    size = math.isqrt(frames)  # as many blocks as frames in a block: the least to search
    whole = frames // size * size
    parts = [activations[:, :whole].unflatten(1, (-1, size)).amax(2)]
    if whole < frames:
        parts.append(activations[:, whole:].amax(1, keepdim=True))
    blocks = torch.cat(parts, 1)
    if bounds is not None:
        highest = blocks.amax(1)
        values = highest.float() + 0.0
        clips, units = ((values >= bounds[0]) | (values <= bounds[1])).nonzero(as_tuple=True)
        if 2 * len(clips) < values.numel():
            found = torch.full(values.shape, -1, dtype=torch.int32)
            found[clips, units] = _first_frames(activations, blocks, highest, clips, units)
            return values, found
    highest, block = blocks.max(1)
    start = (block * size)[:, None]
    # Past the end the last frame is read again; its first occurrence still wins.
    within = start + torch.arange(size)[:, None]
    place = activations.gather(1, within.clamp_(max=frames - 1)).argmax(1)
    return highest.float() + 0.0, (block * size + place).int()


def _first_frames(
    activations: Float[Tensor, "clip frame unit"],
    blocks: Float[Tensor, "clip block unit"],
    highest: Float[Tensor, "clip unit"],
    clips: Int64[Tensor, " pair"],
    units: Int64[Tensor, " pair"],
) -> Int32[Tensor, " pair"]:
    """The first frame that has the highest value, of some pairs of clip and unit."""
    frames, wanted = activations.shape[1], highest[clips, units]
    size = math.isqrt(frames)
    block = (blocks[clips, :, units] == wanted[:, None]).int().argmax(1)
    within = (block * size)[:, None] + torch.arange(size)
    read = activations[clips[:, None], within.clamp(max=frames - 1), units[:, None]]
    return (block * size + (read == wanted[:, None]).int().argmax(1)).int()
