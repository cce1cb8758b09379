"""Frames on the disk: all of a stream while they fit, from then on as many of them, drawn uniformly."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from and_nnsight.storage import array_checksum, writing
from jaxtyping import Float32, Int64

from .errors import TrainingError


class FrameSample:
    """A uniform sample of a stream of frames: float32 [frame, width] in a file that does not outgrow its bound.

    The n-th frame of the stream goes to place n while there is room; later it takes a random place with the chance
    that it is to have (Vitter's algorithm R). The draws hang on the seed and on n alone: where an interrupted stream
    goes on from an earlier frame, it writes the same frames to the same places again.
    """

    def __init__(self, path: Path, width: int, most: int, seed: int) -> None:
        self.path, self.width, self.most, self._seed = path, width, most, seed
        self.seen = 0

    @property
    def kept(self) -> int:
        """How many frames the file holds."""
        return min(self.seen, self.most)

    def add(self, frames: Float32[np.ndarray, "frame width"]) -> None:
        """Take in the next frames of the stream."""
        places = self._places(len(frames))
        self.seen += len(frames)
        taken = np.flatnonzero(places < self.most)
        if not len(taken):
            return
        with writing(self.path), self.path.open("r+b" if self.path.exists() else "w+b") as file:
            for run in np.split(taken, np.flatnonzero(np.diff(places[taken]) != 1) + 1):
                file.seek(int(places[run[0]]) * self.width * 4)
                file.write(np.ascontiguousarray(frames[run], "<f4").data)

    def _places(self, count: int) -> Int64[np.ndarray, " frame"]:
        """Where the next frames go; what is at or behind `most` goes nowhere."""
        order = np.arange(self.seen, self.seen + count, dtype=np.int64)
        if self.seen + count <= self.most:
            return order
        drawn = np.random.default_rng((self._seed, self.seen)).integers(0, order + 1)
        return np.where(order < self.most, order, drawn)

    def flush(self) -> None:
        """Make what was added survive."""
        if self.path.exists():
            with writing(self.path), self.path.open("rb") as file:
                os.fsync(file.fileno())

    def restore(self, seen: int) -> None:
        """Go on after so many frames of the stream. Raises TrainingError where the file does not hold them."""
        self.seen = seen
        size = self.path.stat().st_size if self.path.exists() else 0
        if size < self.kept * self.width * 4:
            raise TrainingError(f"{self.path} holds fewer frames than were written: remove {self.path.parent}")

    def frames(self) -> Float32[np.ndarray, "frame width"]:
        """The frames, as they lie on the disk."""
        return np.memmap(self.path, "<f4", "r", shape=(self.kept, self.width))

    def to_json(self) -> dict[str, Any]:
        """How many frames there were, how many are kept, and, of those, a checksum."""
        checksum = array_checksum(self.frames()).hexdigest() if self.kept else ""
        return {"seen": self.seen, "kept": self.kept, "checksum": checksum}
