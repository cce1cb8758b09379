"""A unit's activation over a clip as tokens and values: frames are tokens, named by the second they begin at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...dissection.curves import Curve
from ...dissection.decimals import shortest_list
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


class SiteTokens:
    """Makes tokens and values of the curves of a site's units; units on one clip have the same tokens."""

    def __init__(self, dissection: Dissection, site: str) -> None:
        self._dissection, self._site = dissection, site
        self._names: dict[tuple[int, bytes], list[str]] = {}

    def of(self, clip: int, curve: Curve) -> TokenActivations | None:
        """Of a curve; None where it is finite nowhere.

        Stretches without a finite activation are left out. Where there are more than Neuronpedia takes, as many
        neighbours as need be become one token, which begins with the first of them and has the highest of their
        activations. Frames that are tokens of text have that text; other frames without seconds are numbered.
        """
        known = np.flatnonzero(np.isfinite(curve.activation))
        if not len(known):
            return None
        first = np.arange(0, len(known), -(-len(known) // MOST_TOKENS))
        values = np.maximum.reduceat(curve.activation[known], first)
        key = clip, known.tobytes()
        if key not in self._names:
            self._names[key] = self._named(clip, curve.start[known[first]], known[first].tolist())
        return TokenActivations(clip, self._names[key], shortest_list(values))

    def _named(self, clip: int, starts: np.ndarray, frames: Sequence[int]) -> list[str]:
        geometry, own = self._dissection.geometry(self._site), self._dissection.clips[clip].tokens
        if not isinstance(geometry, Tokens) and not np.isnan(starts).any():
            return _seconds(starts)
        return [frame_text(geometry, own, frame) or f"frame {frame}" for frame in frames]


def _seconds(starts: np.ndarray) -> list[str]:
    """Seconds with two digits behind the point, more where different ones would read the same."""
    different = len(np.unique(starts))
    for digits in range(2, _MOST_DIGITS):
        names = [f"{start:.{digits}f}s" for start in starts.tolist()]
        if len(set(names)) == different:
            return names
    return [f"{start:.{_MOST_DIGITS}f}s" for start in starts.tolist()]
