"""Our own describer of basic acoustic features."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import MappingProxyType

from ...acoustics.measuring import SAMPLING_RATE, measure
from ...acoustics.sentences import describe
from ...roles import Clip, Failure


class Acoustic:
    """Loudness, pitch, brightness, noisiness, onsets and rhythm, measured and put in a sentence; needs no model."""

    sampling_rate = SAMPLING_RATE
    settings = MappingProxyType({"wording": 2})  # another number, another table: sentences of two wordings do not mix

    def caption(self, clips: Sequence[Clip]) -> Iterator[str | Failure]:
        """One sentence a clip."""
        for clip in clips:
            yield describe(measure(clip.samples, clip.sampling_rate))
