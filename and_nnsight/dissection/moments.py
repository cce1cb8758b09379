"""When an exemplar's unit fires: from a frame to seconds of its clip. The one home of that rule.

A frame stands for a stretch of the clip, cut at the clip's end; the whole clip where pooling has no one frame (−1) or
the frame is a special token; nothing is known (None) where the frame has no place in time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from ..data.tokens import Token
from ..sites.geometry import Geometry, Tokens
from .decimals import to_nanoseconds

Moment = tuple[float | None, float | None]
"""Start and end, in seconds from the clip's start."""


class FrameMoments:
    """Looks up the moments of some frames of a site: computed for all of them at once, each only once."""

    def __init__(self, geometry: Geometry, frames: Int[np.ndarray, "*any"]) -> None:
        """`frames` are those that will be asked for."""
        known = np.unique(frames)
        known = known[known >= 0]
        self._special = geometry.special_tokens
        self._times: dict[int, tuple[float, float]] = {
            int(frame): (start, end)
            for frame, (start, end) in zip(known.tolist(), to_nanoseconds(geometry.times(known)).tolist(), strict=True)
        }

    def moment(self, frame: int, seconds: float) -> Moment:
        """Of a frame in a clip of so many seconds."""
        if frame < 0:
            return 0.0, seconds
        start, end = self._times[frame]
        if not math.isnan(start):
            return min(start, seconds), min(end, seconds)
        return (0.0, seconds) if frame < self._special else (None, None)


def frame_text(geometry: Geometry, tokens: Sequence[Token] | None, frame: int) -> str | None:
    """The text of the token that a frame is: of the clip's own, else of all clips'; None for frames of sound."""
    if not isinstance(geometry, Tokens) or frame < 0:
        return None
    own = tokens[frame].text if tokens is not None and frame < len(tokens) else None
    return geometry.text(frame) if own is None else own
