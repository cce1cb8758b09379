"""Pooled values of clips that ran together, until all clips of their batch have run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float32, Int32, Int64
from torch import Tensor


class PooledGroup(NamedTuple):
    """What is kept of a group of clips: values and frames of the units of all sites, side by side.

    positions  the clips' ids on the host; None where only the device has them
    nonfinite  values that were not finite, a site
    """

    clips: Int64[Tensor, " clip"]
    positions: tuple[int, ...] | None
    values: Float32[Tensor, "clip unit"]
    frames: Int32[Tensor, "clip unit"]
    nonfinite: Int64[Tensor, " site"]


def joined(groups: Sequence[PooledGroup]) -> PooledGroup:
    """Groups as one, its clips in the order of their ids where these are known here. One group stays as it is."""
    if len(groups) == 1:
        return groups[0]
    clips = torch.cat([group.clips for group in groups])
    values = torch.cat([group.values for group in groups])
    frames = torch.cat([group.frames for group in groups])
    nonfinite = torch.stack([group.nonfinite for group in groups]).sum(0)
    positions = _positions(groups)
    if positions is None:
        return PooledGroup(clips, None, values, frames, nonfinite)
    order = sorted(range(len(positions)), key=positions.__getitem__)
    rows = torch.tensor(order, dtype=torch.int64)
    if values.device.type == "cuda":
        rows = rows.pin_memory().to(values.device, non_blocking=True)
    ascending = tuple(positions[row] for row in order)
    return PooledGroup(clips[rows], ascending, values[rows], frames[rows], nonfinite)


def _positions(groups: Sequence[PooledGroup]) -> list[int] | None:
    known: list[int] = []
    for group in groups:
        if group.positions is None:
            return None
        known += group.positions
    return known
