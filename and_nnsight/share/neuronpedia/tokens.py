"""A unit's activation over a clip as tokens and values: frames are tokens, named by the second they begin at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...dissection.curves import Curve
from ...dissection.dissection import Dissection
from ...dissection.moments import frame_text
from ...sites.geometry import Tokens
from .checks import MOST_TOKENS

_MOST_DIGITS = 6


@dataclass(frozen=True)
class TokenActivations:
    """Of a unit on a clip. `values`: of each token, finite."""

    clip: int
    tokens: list[str]
    values: list[float]

    @property
    def highest(self) -> int:
        """Which token has the highest value: the first of them."""
        return self.values.index(max(self.values))


def token_activations(dissection: Dissection, site: str, clip: int, curve: Curve) -> TokenActivations | None:
    """Of a curve; None where it is finite nowhere.

    Stretches without a finite activation are left out. Where there are more than Neuronpedia takes, as many neighbours
    as need be become one token, which begins with the first of them and has the highest of their activations. Frames
    that are tokens of text have that text; other frames without seconds are numbered.
    """
    known = np.flatnonzero(np.isfinite(curve.activation))
    if not len(known):
        return None
    first = np.arange(0, len(known), -(-len(known) // MOST_TOKENS))
    values = np.maximum.reduceat(curve.activation[known], first)
    starts = curve.start[known[first]]
    sound = not np.isnan(starts).any() and not isinstance(dissection.geometry(site), Tokens)
    tokens = _seconds(starts) if sound else _unplaced(dissection, site, clip, known[first].tolist())
    return TokenActivations(clip, tokens, [_shortest(value) for value in values])


def _seconds(starts: np.ndarray) -> list[str]:
    """Seconds with two digits behind the point, more where different ones would read the same."""
    different = len(np.unique(starts))
    for digits in range(2, _MOST_DIGITS):
        names = [f"{start:.{digits}f}s" for start in starts.tolist()]
        if len(set(names)) == different:
            return names
    return [f"{start:.{_MOST_DIGITS}f}s" for start in starts.tolist()]


def _unplaced(dissection: Dissection, site: str, clip: int, frames: Sequence[int]) -> list[str]:
    geometry, own = dissection.geometry(site), dissection.clips[clip].tokens
    return [frame_text(geometry, own, frame) or f"frame {frame}" for frame in frames]


def _shortest(value: np.float32) -> float:
    """The number with the fewest digits that is this one in 32 bits."""
    return float(np.format_float_scientific(value))
