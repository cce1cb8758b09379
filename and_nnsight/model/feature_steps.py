"""How the steps of a model's features lie on a clip's samples: measured with clicks in silence.

In silence all steps are alike, whatever the extractor does to the clip as a whole (a mean taken off, a floor under the
loudest); a click changes those steps alone that hear it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

_SLACK = 4
"""Samples by which the edges of a step's window may seem to differ: a window tapers off to nothing there."""


class UnclearError(ValueError):
    """What could not be measured; the message says why."""


@dataclass(frozen=True)
class Steps:
    """Step i of the features hears the samples from first + i · hop up to, not including, stop + i · hop.

    axis  the axis of the features, clips on the first, that is time
    """

    axis: int
    hop: int
    first: int
    stop: int


Featurise = Callable[[np.ndarray], np.ndarray]
"""The array of features of one clip, with its clip axis; NaN at steps that are padding."""


def measure_steps(featurise: Featurise, samples: int) -> Steps:
    """The steps of features of clips of so many samples. Raises UnclearError where they do not lie evenly."""
    clicks = _Clicks(featurise, samples)
    low, high = samples // 4, 3 * samples // 4
    near, far = int(clicks.heard_by(low)[-1]) + 2, int(clicks.heard_by(high)[0]) - 2
    if far - near < 2:
        raise UnclearError("its features have too few steps in time")
    firsts = [clicks.edge(low, high, lambda steps, at=at: steps[-1] >= at) for at in (near, near + 1, far)]
    lasts = [clicks.edge(low, high, lambda steps, at=at: steps[0] > at) for at in (near, near + 1, far)]
    hop = round((firsts[2] - firsts[0]) / (far - near))
    for edges in (firsts, lasts):
        expected = (edges[0], edges[0] + hop, edges[0] + (far - near) * hop)
        if any(abs(one - other) > _SLACK for one, other in zip(edges, expected, strict=True)):
            raise UnclearError("the steps of its features do not lie evenly on the clip")
    return Steps(clicks.axis, hop, int(firsts[0] - near * hop), int(lasts[0] - near * hop))


class _Clicks:
    """Features of silence with one click in it."""

    def __init__(self, featurise: Featurise, samples: int) -> None:
        self.featurise, self.samples = featurise, samples
        features = self._features(samples // 2)
        shares = {axis: len(_changed(features, axis)) / features.shape[axis] for axis in range(1, features.ndim)}
        heard = {axis: share for axis, share in shares.items() if share}
        if not heard:
            raise UnclearError("a click in silence does not change its features")
        self.axis = min(heard, key=lambda axis: heard[axis])

    def _features(self, at: int) -> np.ndarray:
        wave = np.zeros(self.samples, np.float32)
        wave[at] = 1.0
        return self.featurise(wave)

    def heard_by(self, at: int) -> np.ndarray:
        """The steps that a click at this sample changes, in order. Raises UnclearError if they are not together."""
        changed = _changed(self._features(at), self.axis)
        if not len(changed) or changed[-1] - changed[0] >= len(changed):
            raise UnclearError("a click does not change its features at one place in time")
        return changed

    def edge(self, low: int, high: int, reached: Callable[[np.ndarray], bool]) -> int:
        """The first sample at which what a click changes satisfies `reached`, which stays true from there on."""
        while low < high:
            middle = (low + high) // 2
            if reached(self.heard_by(middle)):
                high = middle
            else:
                low = middle + 1
        return low


def _changed(features: np.ndarray, axis: int) -> np.ndarray:
    """The positions on an axis that are not like most of it; those of padding do not count."""
    rows = np.moveaxis(features, axis, 0).reshape(features.shape[axis], -1)
    there = np.flatnonzero(~np.isnan(rows).any(1))
    if not len(there):
        return there
    whole = np.ascontiguousarray(rows[there])
    keys = whole.view(np.dtype((np.void, whole.dtype.itemsize * whole.shape[1]))).ravel()
    _, inverse, counts = np.unique(keys, return_inverse=True, return_counts=True)
    return there[inverse.ravel() != counts.argmax()]
