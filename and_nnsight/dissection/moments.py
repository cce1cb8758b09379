"""When an exemplar's unit fires: from a frame to seconds of its clip. The one home of that rule.

A frame stands for a stretch of the clip, cut at the clip's end; the whole clip where pooling has no one frame (−1) or
the frame is a special token; nothing is known (None) where the frame has no place in time. A token of a clip's own text
has the seconds that the model told of it, if it did.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32, Int

from ..data.tokens import Token
from ..sites.geometry import Geometry, Tokens
from .decimals import to_nanoseconds

if TYPE_CHECKING:
    from .clips import ClipRow

Moment = tuple[float | None, float | None]
"""Start and end, in seconds from the clip's start."""


class FrameMoments:
    """Looks up the moments of some frames of a site: computed for all of them at once, each only once."""

    def __init__(self, geometry: Geometry, frames: Int[np.ndarray, "*any"]) -> None:
        """`frames` are those that will be asked for."""
        known = np.unique(frames)
        known = known[known >= 0]
        self._special, self._of_tokens = geometry.special_tokens, isinstance(geometry, Tokens)
        self._times: dict[int, tuple[float, float]] = {
            int(frame): (start, end)
            for frame, (start, end) in zip(known.tolist(), to_nanoseconds(geometry.times(known)).tolist(), strict=True)
        }

    def moment(self, frame: int, clip: ClipRow) -> Moment:
        """Of a frame in a clip."""
        seconds = clip.seconds
        if frame < 0:
            return 0.0, seconds
        if self._of_tokens:
            return token_moment(clip.tokens, frame, seconds)
        start, end = self._times[frame]
        if not math.isnan(start):
            return min(start, seconds), min(end, seconds)
        return (0.0, seconds) if frame < self._special else (None, None)


def token_moment(tokens: Sequence[Token] | None, place: int, seconds: float) -> Moment:
    """Of a token of the text of a clip of so many seconds."""
    token = tokens[place] if tokens is not None and place < len(tokens) else None
    if token is None or token.start is None or token.end is None:
        return None, None
    return min(token.start, seconds), min(token.end, seconds)


def token_stretches(
    tokens: Sequence[Token] | None, count: int, seconds: float
) -> tuple[Float32[np.ndarray, " frame"], Float32[np.ndarray, " frame"]]:
    """Starts and ends of the first `count` tokens of a clip's text, in their order; NaN where they are not known."""
    moments = [token_moment(tokens, place, seconds) for place in range(count)]
    start, stop = np.array(moments, np.float32).reshape(count, 2).T
    return start, stop


def frame_text(geometry: Geometry, tokens: Sequence[Token] | None, frame: int) -> str | None:
    """The text of the token that a frame is: of the clip's own, else of all clips'; None for frames of sound."""
    if not isinstance(geometry, Tokens) or frame < 0:
        return None
    own = tokens[frame].text if tokens is not None and frame < len(tokens) else None
    return geometry.text(frame) if own is None else own
