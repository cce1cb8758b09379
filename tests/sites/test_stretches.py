"""Frames to stretches of time: bands share one, padding has none, the clip's end cuts the last."""

from __future__ import annotations

import numpy as np
import pytest

from and_nnsight.sites.geometry import Convolved, FoldedGrid, Geometry, PatchColumns, PatchGrid, Regular, WholeClip
from and_nnsight.sites.stretches import Stretches

GEOMETRIES = [
    Geometry(special_tokens=1),
    WholeClip(),
    Regular(hop=0.02, span=0.02),
    Convolved(hop=0.02, span=0.025, kernels=(400,), strides=(320,)),
    PatchGrid(special_tokens=2, columns=7, hop=0.1, span=0.175),
    PatchColumns(hop=0.16, span=0.175, kernels=(2800,), strides=(2560,), bands=4),
    FoldedGrid(rows=8, columns=8, chunks=4, hop=0.04),
    FoldedGrid(rows=8, columns=8, chunks=4, hop=0.04, window=4, shift=2),
]


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=lambda geometry: geometry.kind)
@pytest.mark.parametrize("seconds", [0.01, 0.33, 0.8])
def test_each_stretch_has_the_largest_of_the_frames_that_count_on_it(geometry: Geometry, seconds: float) -> None:
    frames = {"clip": 1, "folded": 64}.get(geometry.kind, 23)
    activations = np.random.default_rng(0).standard_normal((frames, 3)).astype(np.float32)
    activations[5 % frames, 1] = np.nan
    stretches = Stretches.of(geometry, seconds, frames)
    maxima = stretches.maxima(activations)

    valid, times = geometry.valid(np.array([seconds]), frames)[0], geometry.times(np.arange(frames))
    expected: dict[tuple[float, float], np.ndarray] = {}
    for frame in np.flatnonzero(valid):
        key = tuple(times[frame]) if not np.isnan(times[frame, 0]) else (float(frame), np.nan)
        here = np.where(np.isfinite(activations[frame]), activations[frame], -np.inf)
        expected[key] = np.maximum(expected.get(key, -np.inf), here)
    keys = sorted(expected, key=lambda key: key[0])
    found = np.where(np.isnan(maxima), -np.inf, maxima)
    assert np.array_equal(found, np.stack([expected[key] for key in keys]))
    if not np.isnan(times[valid]).any():
        assert np.allclose(stretches.start, [min(start, seconds) for start, _ in keys])
        assert np.allclose(stretches.stop, [min(stop, seconds) for _, stop in keys])
        assert (np.diff(stretches.start) > 0).all() and stretches.stop.max() <= np.float32(seconds)
