"""Generated sounds in the form in which `dissect` takes clips."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from and_nnsight.demo import CLASSES, SAMPLING_RATE, make_sounds


class GeneratedSounds:
    """So many generated sounds, a multiple of the number of classes."""

    def __init__(self, clips: int) -> None:
        self.per_class = -(-clips // len(CLASSES))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Each sound as `dissect` takes it."""
        for sound in make_sounds(self.per_class):
            yield {"array": sound.waveform, "sampling_rate": SAMPLING_RATE, "label": sound.label}
