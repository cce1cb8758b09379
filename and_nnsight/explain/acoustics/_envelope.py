"""The course of a sound's level: when sounds begin, how fast they rise, and whether the level swings regularly.

By hand, so that measuring needs no more than numpy and torch, and as librosa has neither rise times nor the depth of a
swing; tests hold level and onsets against it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

STEP = 0.0025
"""Seconds from one value of the fine level to the next."""
SLOWEST_HZ, FASTEST_HZ = 0.8, 60.0
_RISE_DB, _FAST_RISE_DB = 8.0, 10.0  # over 30 and over 10 ms: a tremolo is slower, the grain of noise shorter
_RANGE_DB = 24.0  # what is so much below the loudest is no onset
_APART = 0.045  # seconds between onsets
_GAP = 0.03  # seconds of silence after which anything that sounds has begun anew
_APART_STEPS = round(_APART / STEP)
_EARLY, _LATER = round(0.06 / STEP), slice(round(0.3 / STEP), round(0.5 / STEP))  # of a clip that begins in a stroke
_REGULAR = 0.5  # the least autocorrelation at one period of what is regular
_SHALLOWEST = 0.25  # the least depth of a swing: a low tone's own waves reach less


@dataclass(frozen=True)
class Course:
    """onset_seconds: when sounds begin; attack: their median rise in seconds; rate_hz, depth: the level's swing."""

    onset_seconds: tuple[float, ...]
    attack_seconds: float
    rate_hz: float
    depth: float


def course(samples: Float[np.ndarray, " time"], rate: int, sounding: np.ndarray, frame_seconds: float) -> Course:
    """Follow the level of a clip. `sounding` (bool, one a frame of `frame_seconds`) says where it is no silence."""
    power = _blocks(samples, rate)
    onsets = _onsets(power, sounding, frame_seconds)
    swing, depth = _swing(power, sounding, frame_seconds)
    return Course(tuple(place * STEP for place in onsets), _attack(power, onsets), swing, depth)


def _blocks(samples: Float[np.ndarray, " time"], rate: int) -> np.ndarray:
    """Mean power of each `STEP` of the clip."""
    edges = np.minimum((np.arange(math.ceil(len(samples) / rate / STEP) + 1) * STEP * rate).astype(int), len(samples))
    edges = np.unique(edges)
    if edges[-1] != len(samples):
        edges = np.append(edges, len(samples))
    total = np.concatenate([[0.0], np.cumsum(np.square(samples, dtype=np.float64))])
    return np.diff(total[edges]) / np.diff(edges)


def _smooth(power: np.ndarray, count: int) -> np.ndarray:
    """Moving mean over `count` values, as long as before; at the ends, of the values that are there."""
    count = min(count, len(power))
    weights = np.ones(count)
    return np.convolve(power, weights, "same") / np.convolve(np.ones(len(power)), weights, "same")


def _rise(power: np.ndarray, seconds: float) -> tuple[np.ndarray, np.ndarray]:
    """For each place, the level after it over that before it in dB, and the power after it."""
    count = round(seconds / STEP)
    padded = np.concatenate([np.full(count, power[0]), power, np.full(count, power[-1])])
    total = np.concatenate([[0.0], np.cumsum(padded)])
    means = (total[count:] - total[:-count]) / count
    before, after = means[: len(power)], means[count : count + len(power)]
    return 10 * np.log10(after / before), after


def _onsets(power: np.ndarray, sounding: np.ndarray, frame_seconds: float) -> list[int]:
    """The places at which sounds begin: steep rises, the first sound after silence, a loud beginning of the clip."""
    power = np.maximum(power, power.max() * 1e-6)
    slow, after = _rise(power, 0.03)
    fast, _ = _rise(power, 0.01)
    strong = after >= after.max() * 10 ** (-_RANGE_DB / 10)
    steepness = np.where((slow >= _RISE_DB) & (fast >= _FAST_RISE_DB) & strong, fast, 0.0)
    onsets = _apart(steepness)
    for start, end in _after_silence(sounding, frame_seconds):
        is_apart = all(abs(start - other) > _APART_STEPS for other in onsets)
        if is_apart and strong[start:end].any():
            onsets.append(start)
    if sounding[0] and _begins_loud(power) and not any(place < _EARLY for place in onsets):
        onsets.append(0)
    return sorted(onsets)


def _apart(steepness: np.ndarray) -> list[int]:
    """The steepest rises, none near a steeper one."""
    places: list[int] = []
    for place in np.argsort(-steepness, kind="stable"):
        if steepness[place] == 0.0:
            break
        if all(abs(place - other) >= _APART_STEPS for other in places):
            places.append(int(place))
    return places


def _after_silence(sounding: np.ndarray, frame_seconds: float) -> Iterator[tuple[int, int]]:
    """Where stretches of sound begin and end that silence is before, as places in the fine level."""
    a_frame, gap = frame_seconds / STEP, round(_GAP / frame_seconds)
    edges = np.flatnonzero(np.diff(sounding.astype(int), prepend=0, append=0))
    for start, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        if start > 0 and not sounding[max(0, start - gap) : start].any():
            yield round(start * a_frame), round(end * a_frame)


def _begins_loud(power: np.ndarray) -> bool:
    """Whether a clip begins in the middle of a stroke: loud, and soft soon after."""
    return len(power) > _LATER.start and bool(power[:_EARLY].mean() >= 6 * power[_LATER].mean())


def _attack(power: np.ndarray, onsets: list[int]) -> float:
    """Median time of a rise from a tenth to seven tenths of the full level, over 0.6: the length of a linear rise."""
    if not onsets:
        return math.nan
    level, full = np.sqrt(_smooth(power, 4)), np.sqrt(_smooth(power, 24))  # 60 ms: the grain of noise is no rise
    rises = []
    for start, end in zip(onsets, [*onsets[1:], len(level)], strict=True):
        event = slice(max(0, start - round(0.03 / STEP)), end)
        reached = int(np.argmax(level[event] >= 0.7 * full[event].max()))
        quiet = np.flatnonzero(level[event][: reached + 1] < 0.1 * full[event].max())
        rises.append((reached - (quiet[-1] if len(quiet) else 0)) * STEP / 0.6)
    return float(np.median(rises))


def _swing(power: np.ndarray, sounding: np.ndarray, frame_seconds: float) -> tuple[float, float]:
    """Rate and depth of a regular swing of the level; NaN where there is none."""
    frames = np.flatnonzero(sounding)
    first, last = round(frames[0] * frame_seconds / STEP), round((frames[-1] + 1) * frame_seconds / STEP)
    level = np.sqrt(_smooth(power, 4)[first:last])
    count = len(level)
    rate = regular_rate(level, STEP, FASTEST_HZ)
    if math.isnan(rate):
        return rate, rate
    low, high = np.percentile(level[round(0.05 * count) : round(0.95 * count) + 1], [2, 99.5])
    depth = float(1 - low / high)
    return (rate, depth) if depth >= _SHALLOWEST else (math.nan, math.nan)


def regular_rate(series: Float[np.ndarray, " step"], step: float, fastest: float) -> float:
    """Cycles a second of a series that repeats itself; NaN if it does not. It must hold about two cycles or more."""
    count = len(series)
    slowest, first = min(round(1 / SLOWEST_HZ / step), int(0.55 * count)), max(2, round(1 / fastest / step))
    if slowest <= first + 2:
        return math.nan
    steady = series - series.mean()
    size = 2 ** math.ceil(math.log2(2 * count))
    lags = np.arange(int(0.75 * count) + 2)
    correlation = np.fft.irfft(np.square(np.abs(np.fft.rfft(steady, size))), size)[lags]
    energy = np.concatenate([[0.0], np.cumsum(np.square(steady))])
    overlap = np.sqrt(np.maximum(energy[count - lags] * (energy[count] - energy[lags]), 0.0))
    likeness = correlation / np.maximum(overlap, 1e-9 * max(energy[count], 1e-30))
    inner = likeness[1:-1]
    peaks = np.flatnonzero((inner >= likeness[:-2]) & (inner > likeness[2:])) + 1
    fallen = np.flatnonzero(likeness < 0.2)
    peaks = peaks[(peaks >= max(first, fallen[0] if len(fallen) else count)) & (peaks <= slowest)]
    for lag in peaks[likeness[peaks] >= max(_REGULAR, 0.85 * likeness[peaks].max(initial=0.0))]:
        left, centre, right = likeness[lag - 1 : lag + 2]
        period = lag + 0.5 * (left - right) / (left - 2 * centre + right)
        twice = round(2 * period)
        about = likeness[max(0, twice - 1 - lag // 20) : twice + 2 + lag // 20]
        if twice >= len(likeness) or about.max() >= 0.6 * centre:  # else one gap that came twice, not a rate
            return float(1 / (period * step))
    return math.nan
