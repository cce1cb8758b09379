"""How far a sound is a tone, and what its pitch is and does."""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Bool, Float

from ._envelope import regular_rate
from ._pitch import HOP_SECONDS, pitches
from ._spectrum import lines

_RANGE_DB, _PITCH_RANGE_DB = 30.0, 20.0  # the pitch of what is fainter, such as a note's last breath, is not looked at
_LEAST_SHARE = 0.3  # of the loud frames that have a pitch, where the sound has one
_LEAST_SWING = 0.5 / 12  # octaves: half a semitone; less is no vibrato
_FASTEST_VIBRATO_HZ = 12.0
_LARGEST_STEP = 0.4  # octaves from one frame to the next; more is another sound
_LEAST_LINES = 0.5  # share of a frame's energy in lines from where on the lowest line is its pitch


def tonality(waveform: Float[torch.Tensor, " time"], rate: int) -> dict[str, float]:
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
    if share < _LEAST_SHARE or not len(values):
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


def _movement(octaves: Float[np.ndarray, " frame"], with_pitch: Bool[np.ndarray, " frame"]) -> tuple[float, float]:
    """Mean slope over unbroken stretches of pitch in octaves a second, and the rate at which the longest one swings."""
    places = np.flatnonzero(with_pitch)
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
