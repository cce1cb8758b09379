"""Which clips are held out: by a hash of what is heard of each, so that a copy of a clip is on its side of the line."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from and_nnsight.data import Clip


@dataclass(frozen=True)
class HeldOut:
    """A share of the clips that no training sees.

    share  of all clips, from above 0 to below 1
    seed   another one holds others out
    """

    share: float
    seed: int

    def has(self, clip: Clip) -> bool:
        """Whether a clip is held out: clips with equal samples, at the model's rate, all are or none is."""
        what = clip.content or f"{clip.path} {clip.id}"
        digest = hashlib.blake2b(f"{self.seed} {what}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
        return int.from_bytes(digest) < self.share * 2**64
