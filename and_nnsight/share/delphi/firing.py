"""When a unit fires, for those who know only of latents that are zero most of the time.

A unit of a network is hardly ever zero. It is taken to fire on the clips on which it lies above its threshold: the
value that at most a given share of the clips exceed. A tie with the threshold does not fire, so of a sparse latent,
which is zero on more clips than that, every clip on which it is not zero fires. What is written is the distance from
the threshold: zero is where a unit falls silent, as delphi has it, whatever the sign of the activations.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Int64


@dataclass(frozen=True, eq=False)
class Firings:
    """Where units fire.

    rows, units  of each firing, by row and then by unit
    excess       how far the unit lies above its threshold there
    thresholds   of every unit
    usable       units that are finite on every clip and fire on one
    """

    rows: Int64[np.ndarray, " firing"]
    units: Int64[np.ndarray, " firing"]
    excess: Float32[np.ndarray, " firing"]
    thresholds: Float32[np.ndarray, " unit"]
    usable: Bool[np.ndarray, " unit"]


def firings(activations: Float32[np.ndarray, "clip unit"], share: float) -> Firings:
    """Where units lie above what at most this share of the clips exceed (at least one clip)."""
    most = max(1, int(share * len(activations)))
    finite = np.isfinite(activations).all(0)
    values = np.where(finite, activations, 0)
    thresholds = -np.partition(-values, most, axis=0)[most]
    excess = values - thresholds
    fires = excess > 0
    rows, units = np.nonzero(fires)
    usable = finite & fires.any(0)
    return Firings(rows, units, excess[rows, units].astype(np.float32), thresholds.astype(np.float32), usable)
