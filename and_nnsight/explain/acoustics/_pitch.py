"""Fundamental frequencies by the normalised autocorrelation of short frames.

By hand, as librosa's YIN gives noise a pitch too, and its pYIN takes a hundred times as long; a test holds the pitches
of steady sounds against YIN's.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor

LOWEST_HZ, HIGHEST_HZ = 40.0, 6_500.0
HOP_SECONDS = 0.02
_WINDOWS = (0.064, 0.02)  # seconds: one for low pitches, one for pitches that move fast
_FINE_LAGS = 40  # samples; below, the autocorrelation is evaluated at quarters of a sample
_CLEAR = 0.85  # the least autocorrelation at one period of a sound that counts as periodic
_NEAR_BEST = 0.93  # the first peak so near to the highest is the period, later ones are its multiples


def pitches(samples: Float[Tensor, " time"], rate: int) -> tuple[Float[Tensor, " frame"], Float[Tensor, " frame"]]:
    """The fundamental in Hz (NaN where there is none) every `HOP_SECONDS`, and how periodic the frame is (0 to 1)."""
    tracks = [_track(samples, rate, seconds) for seconds in _WINDOWS]
    (low, low_clarity), (fast, fast_clarity) = tracks
    better = fast_clarity * 0.9 > low_clarity
    pitch, clarity = torch.where(better, fast, low), torch.where(better, fast_clarity, low_clarity)
    return torch.where(clarity >= _CLEAR, pitch, math.nan), clarity


def framed(samples: Float[Tensor, " time"], length: int, hop: int) -> Float[Tensor, "frame length"]:
    """Frames centred on multiples of the hop, with silence beyond both ends."""
    count = -(-len(samples) // hop)
    padded = torch.nn.functional.pad(samples, (length // 2, length + hop))
    return padded.unfold(0, length, hop)[:count]


def _track(
    samples: Float[Tensor, " time"], rate: int, seconds: float
) -> tuple[Float[Tensor, " frame"], Float[Tensor, " frame"]]:
    length, hop = round(rate * seconds), round(rate * HOP_SECONDS)
    frames = framed(samples, length, hop)
    frames = frames - frames.mean(1, keepdim=True)
    size = 2 ** math.ceil(math.log2(2 * length))
    power = torch.fft.rfft(frames, size).abs().square()
    lags, cosines = _fine(rate, size, length)
    longest = min(length // 2 + 1, round(rate / LOWEST_HZ) + 2)
    whole = torch.arange(_FINE_LAGS + 1, max(longest, _FINE_LAGS + 1))
    correlation = torch.cat([power @ cosines, torch.fft.irfft(power)[:, whole]], 1)
    all_lags = torch.cat([lags, whole.to(lags.dtype)])
    energy = torch.nn.functional.pad(frames.square().cumsum(1), (1, 0))
    near = all_lags.round().long()
    overlapping = energy[:, length - near] + energy[:, -1:] - energy[:, near]
    likeness = 2 * correlation / overlapping.clamp_min(1e-12)
    return _first_peak(likeness, all_lags, rate)


def _first_peak(
    likeness: Float[Tensor, "frame lag"], lags: Float[Tensor, " lag"], rate: int
) -> tuple[Float[Tensor, " frame"], Float[Tensor, " frame"]]:
    middle = likeness[:, 1:-1]
    peak = (middle >= likeness[:, :-2]) & (middle > likeness[:, 2:])
    # The autocorrelation falls from lag 0 on: what lies before it first turns negative is not a period.
    peak &= (likeness < 0.3).cumsum(1)[:, 1:-1] > 0
    heights = torch.where(peak, middle, 0.0)
    best = heights.amax(1, keepdim=True)
    first = (peak & (heights >= _NEAR_BEST * best)).to(torch.uint8).argmax(1)
    rows = torch.arange(len(likeness))
    left, centre, right = likeness[rows, first], likeness[rows, first + 1], likeness[rows, first + 2]
    bend = left - 2 * centre + right
    shift = torch.where(bend < 0, 0.5 * (left - right) / bend, 0.0).clamp(-1, 1)
    step = lags[first + 2] - lags[first + 1]
    period = lags[first + 1] + shift * step
    clarity = torch.where(best[:, 0] > 0, centre, 0.0).clamp(0, 1)
    return rate / period, clarity


@lru_cache(maxsize=8)
def _fine(rate: int, size: int, length: int) -> tuple[Float[Tensor, " lag"], Float[Tensor, "bin lag"]]:
    """Lags in quarters of a sample, and the matrix that takes a power spectrum to its autocorrelation there."""
    lags = torch.arange(rate / HIGHEST_HZ, min(_FINE_LAGS, length // 2) + 0.25, 0.25)
    bins = torch.arange(size // 2 + 1)
    weight = torch.full((size // 2 + 1, 1), 2.0)
    weight[0] = weight[-1] = 1.0
    angles = (2 * math.pi / size) * bins[:, None].double() * lags.double()
    return lags, (weight * angles.cos() / size).float()
