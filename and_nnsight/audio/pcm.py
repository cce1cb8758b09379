"""Samples as 16-bit PCM, which most recordings are."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32, Int16

PCM_STEPS = 32_768
"""Steps of 16-bit PCM from silence to full scale."""


def rounded_to_pcm16(samples: Float32[np.ndarray, " time"]) -> Int16[np.ndarray, " time"]:
    """Samples in [-1, 1) rounded to 16 bits; louder ones are cut off."""
    with np.errstate(over="ignore"):
        return np.rint(samples * PCM_STEPS).clip(-PCM_STEPS, PCM_STEPS - 1).astype(np.int16)


def as_pcm16(samples: Float32[np.ndarray, " time"]) -> Int16[np.ndarray, " time"] | None:
    """The same samples in 16 bits; None where that would lose something."""
    rounded = rounded_to_pcm16(samples)
    return rounded if np.array_equal(rounded.astype(np.float32) / PCM_STEPS, samples) else None
