"""What a sound is made of: where its energy lies, and how much of it stands in narrow lines.

By hand, as librosa has no share in lines, and two lines give the moments without it; a test holds them against its own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ._pitch import HOP_SECONDS, framed

_WINDOWS = (0.128, 0.064)  # seconds
_LINE = 10.0  # a bin so many times above its surroundings on both sides is a line; in noise one in thousands is
_LOWEST_LINE = 0.06  # power of the lowest line that counts, over that of the strongest
_FUNDAMENTAL = 0.02  # the least share of the energy in the first three harmonics of a true fundamental


@dataclass(frozen=True, eq=False)
class Lines:
    """Every `HOP_SECONDS`: energy, the share of it in narrow lines, and the lowest strong line in Hz (NaN: none)."""

    energy: Float[Tensor, " frame"]
    share: Float[Tensor, " frame"]
    lowest: Float[Tensor, " frame"]
    power: Float[Tensor, "frame bin"]
    bin_hz: float

    def carries(self, pitch: Float[Tensor, " frame"]) -> Bool[Tensor, " frame"]:
        """Whether there is energy at the pitch or its next two harmonics: the period of a chord has none there."""
        centres = pitch.nan_to_num(nan=1.0)[:, None] * torch.tensor([1.0, 2.0, 3.0]) / self.bin_hz
        bins = centres.round().long()[..., None] + torch.arange(-2, 3)
        inside = (bins >= 0) & (bins < self.power.shape[1])
        picked = self.power.gather(1, bins.clamp(0, self.power.shape[1] - 1).flatten(1)).view(bins.shape)
        near = torch.where(inside, picked, 0.0).sum((1, 2))
        return near >= _FUNDAMENTAL * self.energy


def lines(samples: Float[Tensor, " time"], rate: int) -> Lines:
    """Look for narrow lines in the spectrum of every frame, with a long window (chords) and a short one (knocks)."""
    long, short = (_lines(samples, rate, seconds) for seconds in _WINDOWS)
    return replace(long, share=torch.maximum(long.share, short.share))


def _lines(samples: Float[Tensor, " time"], rate: int, seconds: float) -> Lines:
    length, hop = round(rate * seconds), round(rate * HOP_SECONDS)
    window = torch.hann_window(length)
    power = torch.fft.rfft(framed(samples, length, hop) * window).abs().square()
    bins = power.shape[1]
    padded = torch.nn.functional.pad(power, (7, 7))
    below, above = _sum(padded, range(4), bins), _sum(padded, range(11, 15), bins)  # of the bins 4 to 7 away
    left, right = padded[:, 6 : 6 + bins], padded[:, 8 : 8 + bins]
    peak = (power >= left) & (power > right) & (4 * power > _LINE * torch.maximum(below, above)) & (power > 0)
    around = _sum(padded, range(5, 10), bins)  # a line is five bins wide
    energy = power.sum(1)
    share = ((around * peak).sum(1) / energy.clamp_min(1e-20)).clamp(max=1.0)
    strong = peak & (power >= _LOWEST_LINE * (power * peak).amax(1, keepdim=True))
    first = strong.to(torch.uint8).argmax(1, keepdim=True)
    logs = [part.gather(1, first)[:, 0].clamp_min(1e-20).log() for part in (left, power, right)]
    bend = logs[0] - 2 * logs[1] + logs[2]
    shift = torch.where(bend < 0, 0.5 * (logs[0] - logs[2]) / bend, 0.0).clamp(-0.5, 0.5)
    lowest = torch.where(strong.any(1), (first[:, 0] + shift) * rate / length, math.nan)
    return Lines(energy, share, lowest, power, rate / length)


def _sum(padded: Float[Tensor, "frame padded"], offsets: range, bins: int) -> Float[Tensor, "frame bin"]:
    total = padded[:, offsets[0] : offsets[0] + bins].clone()
    for offset in offsets[1:]:
        total += padded[:, offset : offset + bins]
    return total


def moments(samples: Float[Tensor, " time"], rate: int) -> tuple[float, float]:
    """Centroid of the whole clip's power spectrum and its spread (standard deviation), both in Hz."""
    power = torch.fft.rfft(samples.double()).abs().square()
    frequencies = torch.arange(len(power), dtype=torch.float64) * (rate / len(samples))
    total = power.sum()
    centroid = (frequencies * power).sum() / total
    spread = ((frequencies - centroid).square() * power).sum() / total
    return float(centroid), float(spread.clamp_min(0).sqrt())
