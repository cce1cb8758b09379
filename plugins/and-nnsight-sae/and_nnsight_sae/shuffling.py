"""Batches of shuffled frames without end, out of a file that may be larger than memory."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

BUFFER_BYTES = 2**28
_BLOCK = 256  # frames that are read together, where not all fit in the buffer


class ShuffledFrames:
    """Epoch after epoch every frame once, in an order that hangs on the seed and the epoch alone.

    Blocks of neighbouring frames are dealt out to buffers at random, and the frames of a buffer are shuffled. Where all
    frames fit in one buffer that is a shuffle of all; else of a buffer's worth, out of blocks from everywhere.

    frames  [frame, width], on the disk
    buffer  bytes in memory at most
    """

    def __init__(self, frames: Float32[np.ndarray, "frame width"], seed: int, buffer: int = BUFFER_BYTES) -> None:
        self._frames, self._seed = frames, seed
        in_buffer = max(1, buffer // (4 * frames.shape[1]))
        self._block = min(_BLOCK, in_buffer) if len(frames) > in_buffer else 1
        self._blocks_a_buffer = in_buffer // self._block

    def batches(self, size: int, start: int = 0) -> Iterator[Float32[Tensor, "frame width"]]:
        """Batches of so many frames, as if `start` frames had been given out before."""
        waiting: list[np.ndarray] = []
        for rows in self._stream(start):
            waiting.append(rows)
            together = np.concatenate(waiting) if len(waiting) > 1 else rows
            for first in range(0, len(together) - size + 1, size):
                yield torch.from_numpy(together[first : first + size])
            waiting = [together[len(together) // size * size :]]

    def _stream(self, start: int) -> Iterator[np.ndarray]:
        """The shuffled frames without end, a buffer at a time, from a place on."""
        epoch, skipped = divmod(start, len(self._frames))
        while True:
            for rows in self._epoch(epoch):
                if skipped < len(rows):
                    yield np.ascontiguousarray(self._frames[rows[skipped:]])
                skipped = max(0, skipped - len(rows))
            epoch += 1

    def _epoch(self, epoch: int) -> Iterator[np.ndarray]:
        """Which frames each buffer of an epoch holds, shuffled."""
        random = np.random.default_rng((self._seed, epoch))
        blocks = random.permutation(-(-len(self._frames) // self._block))
        for first in range(0, len(blocks), self._blocks_a_buffer):
            starts = blocks[first : first + self._blocks_a_buffer] * self._block
            rows = (starts[:, None] + np.arange(self._block)).ravel()
            yield random.permutation(rows[rows < len(self._frames)])
