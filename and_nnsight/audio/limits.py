"""How much of a clip is read: decided by its header, its rate and what the model hears, before anything is decoded."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .errors import AudioError
from .resampling import filter_reach

LOWEST_RATE, HIGHEST_RATE = 1_000, 2_000_000
"""Samples a second of what is sound: from recordings of hearts and elephants to those of bats and dolphins."""
MOST_CHANNELS = 256
"""Of a file: more are a damaged header."""
MOST_SAMPLES = 2**25
"""Of a clip that is heard whole, at its own rate and at the model's together: 17 minutes at 16 kHz, 128 MB."""


def checked_rate(rate: float) -> int:
    """A rate as it stands in a header. Raises AudioError if it is not one of sound."""
    if not LOWEST_RATE <= rate <= HIGHEST_RATE:  # not of NaN either
        raise AudioError(
            f"{rate:,.15g} Hz is no rate of sound ({LOWEST_RATE:,} to {HIGHEST_RATE:,} Hz): its header is damaged, or "
            "the rate stated for it is wrong"
        )
    return round(rate)


def checked_channels(channels: int) -> int:
    """A number of channels as it stands in a header. Raises AudioError if it is not that of a clip."""
    if not 1 <= channels <= MOST_CHANNELS:
        raise AudioError(f"{channels} channels are not those of a clip (1 to {MOST_CHANNELS}): its header is damaged")
    return channels


@dataclass(frozen=True)
class Limit:
    """What is read of a clip at most.

    sampling_rate  what it will be resampled to; None: it stays at its own rate
    window         samples at that rate that are heard, from the clip's start. None: the clip is heard whole, and one
                   of more than `MOST_SAMPLES` is refused
    """

    sampling_rate: int | None = None
    window: int | None = None

    def frames(self, rate: int) -> int:
        """Frames at a clip's own rate that are read at most."""
        if self.sampling_rate in (None, rate):
            most = MOST_SAMPLES // 2
            return most if self.window is None else min(most, self.window)
        most = MOST_SAMPLES * rate // (rate + self.sampling_rate)
        if self.window is None:
            return most
        return min(most, math.ceil(self.window * rate / self.sampling_rate) + filter_reach(rate, self.sampling_rate))

    def used_frames(self, frames: int, rate: int) -> int:
        """How many of a clip's frames are read. Raises AudioError for a clip that is too long to be heard whole."""
        most = self.frames(checked_rate(rate))
        if frames > most and self.window is None:
            raise AudioError(
                f"is too long a clip to be heard whole: {lasting(frames / rate)}, of at most {lasting(most / rate)} at "
                f"{rate} Hz; cut it into pieces"
            )
        return min(frames, most)


def lasting(seconds: float) -> str:
    """A duration as people say it."""
    return f"{seconds:.3g} s" if seconds < 120 else f"{seconds / 60:,.1f} min"
