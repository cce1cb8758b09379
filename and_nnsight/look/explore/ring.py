"""The last seconds of a sound that keeps coming in."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32


class Ring:
    """Keeps the last samples that were put into it. For one thread."""

    def __init__(self, samples: int) -> None:
        self._samples = np.zeros(samples, np.float32)
        self._end = 0
        self.total = 0

    def put(self, chunk: Float32[np.ndarray, " sample"]) -> None:
        """Take in samples; of more than there is room for, the last."""
        self.total += len(chunk)
        chunk = chunk[-len(self._samples) :]
        first = min(len(chunk), len(self._samples) - self._end)
        self._samples[self._end : self._end + first] = chunk[:first]
        self._samples[: len(chunk) - first] = chunk[first:]
        self._end = (self._end + len(chunk)) % len(self._samples)

    def last(self) -> Float32[np.ndarray, " sample"]:
        """What is in it, oldest first: a copy."""
        if self.total < len(self._samples):
            return self._samples[: self.total].copy()
        return np.concatenate([self._samples[self._end :], self._samples[: self._end]])
