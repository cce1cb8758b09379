"""The stretches of time that a site's frames cut a clip into: what an activation over time is a function of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int64

from .geometry import Geometry


@dataclass(frozen=True, eq=False)
class Stretches:
    """The stretches of a clip that some frame stands for, in order of time.

    Frames that differ only in what they hear of the spectrum (patches of one column) share a stretch. Only frames on
    which the clip's own audio lies are among them (`Geometry.valid`). Where frames have no place in time each is a
    stretch of its own, in their order, whose seconds are NaN.

    start, stop  seconds from the clip's start; no stretch goes beyond the clip's end
    frames       the frames, stretch by stretch
    first        where in `frames` each stretch begins
    """

    start: Float32[np.ndarray, " stretch"]
    stop: Float32[np.ndarray, " stretch"]
    frames: Int64[np.ndarray, " frame"]
    first: Int64[np.ndarray, " stretch"]

    @classmethod
    def of(cls, geometry: Geometry, seconds: float, frames: int) -> Stretches:
        """Of a clip of so many seconds, at a site with so many frames."""
        positions = np.flatnonzero(geometry.valid(np.array([seconds]), frames)[0])
        times = geometry.times(positions)
        order = np.lexsort((positions, times[:, 1], times[:, 0]))
        positions, times = positions[order], times[order]
        begins = np.ones(len(positions), bool)
        begins[1:] = (times[1:] != times[:-1]).any(1)  # NaN differs from itself
        first = np.flatnonzero(begins)
        start, stop = np.minimum(times[first], seconds).astype(np.float32).T
        return cls(start, stop, positions.astype(np.int64), first.astype(np.int64))

    @property
    def middles(self) -> Float64[np.ndarray, " stretch"]:
        """The middle of each stretch in seconds, ascending."""
        return (self.start.astype(np.float64) + self.stop) / 2

    def maxima(self, activations: Float32[np.ndarray, "frames unit"]) -> Float32[np.ndarray, "stretch unit"]:
        """The largest finite activation on each stretch; NaN where there is none."""
        values = activations[self.frames]
        largest = np.maximum.reduceat(np.where(np.isfinite(values), values, -np.inf), self.first, axis=0)
        return np.where(np.isfinite(largest), largest, np.nan).astype(np.float32)
