"""Basic acoustic features of clips, as numbers with units: what a label has to beat before it is believed.

`measure` takes about 10 ms for 2 s of audio on one core. Checked against the sounds of `and_nnsight.demo`, whose true
attributes are known.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import pyarrow as arrow
import torch
from jaxtyping import Bool, Float, Float32

from ...audio.loading import SILENCE_DBFS as SILENCE_DBFS
from ...dissection.dissection import Dissection
from ...progress import step_progress
from ..records.clip_audio import dissection_clips
from ..records.tables import Row, Table
from ..roles import Failure, Span
from ._envelope import course, regular_rate
from ._pitch import HOP_SECONDS, pitches
from ._spectrum import lines, moments

SAMPLING_RATE = 16_000
"""Samples a second at which clips are measured: brightness ends at half of it."""

_FRAME_SECONDS = 0.01
_RANGE_DB = 30.0
_PITCH_RANGE_DB = 20.0  # the pitch of what is fainter, such as a note's last breath, is not looked at
_LOUDEST_FRAMES = 5
_VERSION = 2  # of what is measured, and how: another number measures again
_LEAST_SWING = 0.5 / 12  # octaves: half a semitone; less is no vibrato
_FASTEST_VIBRATO_HZ = 12.0
_LARGEST_STEP = 0.4  # octaves from one frame to the next; more is another sound
_LEAST_LINES = 0.5  # share of a frame's energy in lines from where on the lowest line is its pitch


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


SCHEMA = arrow.schema(
    [
        ("clip", arrow.int64()),
        ("start", arrow.float64()),
        ("end", arrow.float64()),
        *((field.name, arrow.int64() if field.name == "onsets" else arrow.float64()) for field in fields(Acoustics)),
        ("failure", arrow.string()),
    ]
)


def measure(samples: Float32[np.ndarray, " time"], sampling_rate: int) -> Acoustics:
    """Measure a mono waveform of any length, at any rate of 4,000 samples a second or more.

    Raises ValueError for a lower rate and for samples that are not finite.
    """
    if sampling_rate < 4_000:
        raise ValueError(f"the sampling rate must be at least 4000 samples a second, it is {sampling_rate}")
    if not np.isfinite(samples).all():
        raise ValueError("the samples are not finite")
    seconds = len(samples) / sampling_rate
    peak = float(np.abs(samples).max(initial=0.0))
    steady = samples - _offset(samples, sampling_rate)
    power = _frames(steady, sampling_rate)
    sounding = power >= max(float(power.max(initial=0.0)) * 10 ** (-_RANGE_DB / 10), 1e-30)
    level = _decibels(float(power[sounding].mean()) if sounding.any() else 0.0)
    if not level > SILENCE_DBFS:
        return _silence(seconds, level, peak)
    heard = np.flatnonzero(sounding)
    first, last = float(heard[0]) * _FRAME_SECONDS, min(float(heard[-1] + 1) * _FRAME_SECONDS, seconds)
    waveform = torch.from_numpy(steady)
    brightness, bandwidth = moments(waveform, sampling_rate)
    rhythm = course(steady, sampling_rate, sounding, _FRAME_SECONDS)
    thirds = [part[part > 0].mean() for part in np.array_split(power[heard[0] : heard[-1] + 1], 3) if part.any()]
    return Acoustics(
        seconds=seconds,
        level_dbfs=level,
        peak_dbfs=_decibels(peak**2),
        loudest_dbfs=_decibels(float(_averaged(power).max())),
        silence_share=1 - float(sounding.mean()),
        sound_start_seconds=first,
        sound_seconds=last - first,
        brightness_hz=brightness,
        bandwidth_hz=bandwidth,
        **_tonality(waveform, sampling_rate),
        attack_seconds=rhythm.attack_seconds,
        onsets=len(rhythm.onset_seconds),
        level_rate_hz=rhythm.rate_hz,
        level_depth=rhythm.depth,
        decay_db=_decibels(float(thirds[0] / thirds[-1])),
    )


def measure_acoustics(
    found: Dissection,
    *,
    data: Any = None,
    spans: Iterable[Span] | None = None,
    progress: bool = True,
) -> dict[Span, Acoustics | Failure]:
    """Measure clips and keep the numbers in `explanations/acoustics.parquet`; those that are there are not measured.

    data   what was dissected; needed where the clips lie in no file
    spans  what is measured; None: every clip of the dissection, whole

    Returns the measurements of the spans. For errors see `dissection_clips`.
    """
    wanted = sorted(map(Span, found.clips)) if spans is None else list(spans)
    settings = {"sampling_rate": SAMPLING_RATE, "version": _VERSION}
    with Table(found, "acoustics", SCHEMA, ("clip", "start", "end"), settings) as table:
        missing = [span for span in wanted if (row := table.get(tuple(span))) is None or row["failure"] is not None]
        rows: list[Row] = []
        with step_progress("acoustics", len(missing), progress) as advance:
            try:
                for clip in dissection_clips(found, missing, sampling_rate=SAMPLING_RATE, data=data):
                    rows.append(
                        _row(*clip)
                        if isinstance(clip, tuple)
                        else _row(clip.span, measure(clip.samples, clip.sampling_rate))
                    )
                    advance(1)
                    if len(rows) >= 128:
                        table.add(rows)
                        rows = []
            finally:
                table.add(rows)
        return {span: _measured(table[tuple(span)]) for span in wanted}


def _row(span: Span, measured: Acoustics | Failure) -> Row:
    if isinstance(measured, Failure):
        return {**dict.fromkeys(SCHEMA.names), **span._asdict(), "failure": measured.reason}
    return {**span._asdict(), **asdict(measured), "failure": None}


def _measured(row: Row) -> Acoustics | Failure:
    if row["failure"] is not None:
        return Failure(row["failure"])
    return Acoustics(**{field.name: row[field.name] for field in fields(Acoustics)})


def _frames(samples: Float32[np.ndarray, " time"], rate: int) -> Float[np.ndarray, " frame"]:
    """Mean power of each frame, the last of which may be short."""
    edges = np.arange(0, len(samples), max(1, round(rate * _FRAME_SECONDS)))
    lengths = np.diff(np.append(edges, len(samples)))
    return np.add.reduceat(np.square(samples, dtype=np.float64), edges) / lengths if len(edges) else np.zeros(1)


def _offset(samples: Float32[np.ndarray, " time"], rate: int) -> np.float32:
    """The constant under the samples: the mean of the quietest tenth of a second, as sounds may have one themselves."""
    length = round(rate / 10)
    if len(samples) < 2 * length:
        return samples.mean(dtype=np.float64).astype(np.float32) if len(samples) else np.float32(0)
    stretches = samples[: len(samples) // length * length].reshape(-1, length)
    return stretches[stretches.var(1).argmin()].mean(dtype=np.float64).astype(np.float32)


def _tonality(waveform: Float[torch.Tensor, " time"], rate: int) -> dict[str, float]:
    """Noisiness and everything about the pitch."""
    periodic, clarity = pitches(waveform, rate)
    spectrum = lines(waveform, rate)
    loud = spectrum.energy >= spectrum.energy.max() * 10 ** (-_RANGE_DB / 10)
    periodic = torch.where(spectrum.carries(periodic), periodic, math.nan)
    by_line = torch.where(spectrum.share >= _LEAST_LINES, spectrum.lowest, math.nan)
    pitch = torch.where(periodic.isnan(), by_line, periodic)
    tonal = torch.maximum(spectrum.share, torch.where(periodic.isnan(), 0.0, clarity))
    noisiness = 1 - float((tonal * spectrum.energy)[loud].sum() / spectrum.energy[loud].sum())
    share = float((loud & ~pitch.isnan()).sum() / loud.sum())
    strong = spectrum.energy >= spectrum.energy.max() * 10 ** (-_PITCH_RANGE_DB / 10)
    with_pitch = strong & ~pitch.isnan()
    values = pitch[with_pitch].double()
    if share < 0.3 or not len(values):
        low = middle = high = slope = swing = math.nan
    else:
        low, middle, high = values.quantile(torch.tensor([0.05, 0.5, 0.95], dtype=torch.float64)).tolist()
        slope, swing = _movement(pitch.log2().double().numpy(), with_pitch.numpy())
    return {
        "noisiness": min(max(noisiness, 0.0), 1.0),
        "pitch_hz": middle,
        "pitch_low_hz": low,
        "pitch_high_hz": high,
        "pitch_share": share,
        "pitch_slope": slope,
        "pitch_rate_hz": swing,
    }


def _movement(octaves: Float[np.ndarray, " frame"], held: Bool[np.ndarray, " frame"]) -> tuple[float, float]:
    """Mean slope over unbroken stretches of pitch in octaves a second, and the rate at which the longest one swings."""
    places = np.flatnonzero(held)
    broken = (np.diff(places) > 1) | (np.abs(np.diff(octaves[places])) > _LARGEST_STEP)
    stretches = [part for part in np.split(places, np.flatnonzero(broken) + 1) if len(part) >= 3]
    if not stretches:
        return 0.0, math.nan
    times = [part * HOP_SECONDS for part in stretches]
    slopes = [np.polyfit(time, octaves[part], 1)[0] for time, part in zip(times, stretches, strict=True)]
    slope = float(np.average(slopes, weights=[len(part) for part in stretches]))
    longest = octaves[max(stretches, key=len)]
    low, high = np.percentile(longest, [5, 95])
    swing = regular_rate(longest, HOP_SECONDS, _FASTEST_VIBRATO_HZ) if high - low >= _LEAST_SWING else math.nan
    return slope, swing


def _averaged(power: np.ndarray) -> np.ndarray:
    """Over every five frames that follow each other (50 ms), or all where there are fewer."""
    count = min(_LOUDEST_FRAMES, len(power))
    return np.convolve(power, np.full(count, 1 / count), mode="valid")


def _decibels(power: float) -> float:
    return 10 * math.log10(power) if power > 0 else -math.inf


def _silence(seconds: float, level: float, peak: float) -> Acoustics:
    unknown = {field.name: math.nan for field in fields(Acoustics)}
    known = {"seconds": seconds, "level_dbfs": level, "peak_dbfs": _decibels(peak**2), "silence_share": 1.0}
    return Acoustics(**{**unknown, **known, "sound_seconds": 0.0, "pitch_share": 0.0, "onsets": 0})
