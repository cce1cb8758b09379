"""What is measured of a clip's sound, and how it is kept: the rows of the table `acoustics`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from ...audio.silence import SILENCE_DBFS
from ...dissection.row_parts import UNPREFIXED
from ...dissection.table_row import TableRow
from ..roles import Failure, Span


@dataclass(frozen=True)
class Acoustics:
    """What is measured of a clip or excerpt. NaN: has no meaning here (the pitch of noise, anything of silence).

    "Sounding" are the 10 ms frames whose RMS lies within 30 dB of the loudest such frame. A constant offset is taken
    off first.
    """

    seconds: float
    """length of the clip, s"""
    level_dbfs: float
    """RMS over the sounding frames, dB re an RMS of 1 (a full-scale sine has -3.0); -inf: digital silence"""
    peak_dbfs: float
    """largest absolute sample, dB re 1"""
    loudest_dbfs: float
    """RMS of the loudest 50 ms, dB re an RMS of 1"""
    silence_share: float
    """share of the clip's frames that are not sounding, 0 to 1"""
    sound_start_seconds: float
    """when the first sounding frame begins, s"""
    sound_seconds: float
    """from there to the end of the last sounding frame, s"""
    brightness_hz: float
    """centroid of the clip's power spectrum, Hz"""
    bandwidth_hz: float
    """standard deviation of the clip's power spectrum about the centroid, Hz"""
    noisiness: float
    """share of the energy that is neither periodic nor in narrow spectral lines: 0 a tone, 1 noise"""
    pitch_hz: float
    """median fundamental of the frames within 20 dB of the loudest, Hz; of a chord or bell its lowest strong partial"""
    pitch_low_hz: float
    """5th percentile of the fundamental, Hz"""
    pitch_high_hz: float
    """95th percentile of the fundamental, Hz"""
    pitch_share: float
    """share of the sounding frames that have a pitch, 0 to 1"""
    pitch_slope: float
    """mean slope of the pitch within unbroken stretches, octaves a second; positive: rising"""
    pitch_rate_hz: float
    """cycles a second of a regular swing of the pitch (vibrato, siren), Hz"""
    attack_seconds: float
    """median rise time of the onsets, as long as a linear rise would take, s; resolution about 0.005 s"""
    onsets: int
    """separate beginnings of a sound; 0: what sounds has sounded from the start"""
    level_rate_hz: float
    """cycles a second of a regular swing or repetition of the level, 0.8 to 60 Hz"""
    level_depth: float
    """depth of that swing: 1 minus the lowest amplitude over the highest, 0 to 1 (1: silence in between)"""
    decay_db: float
    """how far the level falls from the sounding frames' first third (by time) to their last, dB; negative: it grows"""

    @property
    def silent(self) -> bool:
        """Whether there is nothing to be heard."""
        return not self.level_dbfs > SILENCE_DBFS


@dataclass(frozen=True)
class AcousticsRow(TableRow):
    """What is measured of a clip or excerpt, a column a number; or why nothing is."""

    table: ClassVar[str] = "acoustics"
    key: ClassVar[tuple[str, ...]] = ("clip", "start", "end")

    clip: int
    start: float | None
    end: float | None
    measured: Acoustics | None = field(metadata=UNPREFIXED)
    failure: str | None

    @classmethod
    def of(cls, span: Span, answer: Acoustics | Failure) -> AcousticsRow:
        """The row of what was measured of a span, or of the reason why nothing was."""
        if isinstance(answer, Failure):
            return cls(*span, None, answer.reason)
        return cls(*span, answer, None)

    @property
    def answer(self) -> Acoustics | Failure:
        """What was measured, or why nothing was."""
        return Failure(str(self.failure)) if self.measured is None else self.measured
