"""Whether there is anything to be heard."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32

SILENCE_DBFS = -75.0
"""Below it there is nothing to be heard: dither, the noise of a recorder that is switched off."""
_PIECE = 2**20  # samples looked at together


def is_silent(samples: Float32[np.ndarray, " time"]) -> bool:
    """Whether no sample lies further from their mean than `SILENCE_DBFS` below full scale."""
    mean, bound = samples.mean(), 10 ** (SILENCE_DBFS / 20)
    pieces = (samples[start : start + _PIECE] for start in range(0, len(samples), _PIECE))
    return all(float(np.abs(piece - mean).max()) < bound for piece in pieces)
