"""From one sampling rate to another: torchaudio's filter, in pieces, so that memory does not grow with the clip.

(soxr is faster, but its filter is another: a tone comes out up to 5e-4 away from what checkpoints were trained on.)
"""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int

try:
    import torchaudio.functional
except (OSError, RuntimeError) as error:  # its compiled half belongs to one build of torch: CPU, or one CUDA
    raise OSError(
        f"torchaudio does not load beside this torch ({torch.__version__}): install builds of the two that belong "
        "together, both from PyPI or both from the same index of PyTorch's"
    ) from error

_LARGEST_TABLE = 2**20  # entries of torchaudio's filters: rates without a common divisor need a huge table
_PIECE = 2**18  # samples that are resampled at a time: a filter of fifteen taps takes fifteen times their memory


def resample(
    samples: Float32[np.ndarray, " time"], source_rate: int, sampling_rate: int
) -> Float32[np.ndarray, " new"]:
    """Band-limited interpolation from one rate to another: ceil(time · sampling_rate / source_rate) samples."""
    if source_rate == sampling_rate:
        return samples
    divisor = math.gcd(source_rate, sampling_rate)
    old, new = source_rate // divisor, sampling_rate // divisor
    samples = np.require(samples, np.float32, ["C", "W"])
    if not has_table(old, new):
        return _resample_without_table(samples, old, new)
    if len(samples) <= _PIECE:
        return torchaudio.functional.resample(torch.from_numpy(samples), old, new).numpy()
    resampled = np.empty(-(-len(samples) * new // old), np.float32)
    around = old * -(-_filter_width(old, new) // old)
    step = old * max(1, _PIECE // old)
    for start in range(0, len(samples), step):
        first = max(0, start - around)
        piece = torch.from_numpy(samples[first : start + step + around])
        place, skipped = start // old * new, (start - first) // old * new
        those = torchaudio.functional.resample(piece, old, new).numpy()[skipped : skipped + step // old * new]
        resampled[place : place + len(those)] = those
    return resampled


def has_table(old: int, new: int) -> bool:
    """Whether torchaudio's filter for two rates without a common divisor is of a bearable size."""
    return new * (old + 2 * _filter_width(old, new)) <= _LARGEST_TABLE


def filter_reach(source_rate: int, sampling_rate: int) -> int:
    """Samples at the source's rate, beyond those of a stretch, that its resampled end hangs on."""
    divisor = math.gcd(source_rate, sampling_rate)
    return _filter_width(source_rate // divisor, sampling_rate // divisor) + 2


def _filter_width(old: int, new: int) -> int:
    """Samples on either side that torchaudio's default filter (6 zero crossings, roll-off 0.99) reaches."""
    return math.ceil(6 * old / (min(old, new) * 0.99))


def _resample_without_table(samples: Float32[np.ndarray, " time"], old: int, new: int) -> Float32[np.ndarray, " new"]:
    """torchaudio's filter (Hann-windowed sinc), evaluated at each output sample.

    Its table grows as old · new (44,101 → 16,000 Hz: gigabytes); this needs a few megabytes at any ratio.
    """
    width, scale = _filter_width(old, new), min(old, new) * 0.99 / old
    taps = np.arange(-width, width + 2)
    resampled = np.empty(-(-len(samples) * new // old), np.float32)
    step = max(1, 2**16 // len(taps))
    for start in range(0, len(resampled), step):
        nearest, remainder = np.divmod(np.arange(start, min(start + step, len(resampled))) * old, new)
        first, last = int(nearest[0]) - width, int(nearest[-1]) + width + 2
        here = samples[max(0, first) : last].astype(np.float64)
        here = np.pad(here, (max(0, -first), last - max(0, first) - len(here)))
        near = np.lib.stride_tricks.sliding_window_view(here, len(taps))[nearest - nearest[0]]
        with np.errstate(over="ignore"):
            resampled[start : start + step] = np.einsum("nt,nt->n", near, _kernels(taps, remainder / new, scale))
    return resampled


def _kernels(
    taps: Int[np.ndarray, " tap"], shifts: Float64[np.ndarray, " new"], scale: float
) -> Float64[np.ndarray, "new tap"]:
    """The filter at the distance of each tap from each shift, its sines and cosines by those of taps and shifts."""
    distance = np.subtract.outer(-shifts, -taps) * scale

    def cosine(factor: float, quarter: float) -> np.ndarray:
        tap, shift = factor * scale * taps, factor * scale * shifts - quarter
        return np.outer(np.cos(shift), np.cos(tap)) + np.outer(np.sin(shift), np.sin(tap))

    kernels = cosine(np.pi, -np.pi / 2)  # sin(-x) = cos(x + π/2)
    near_zero = np.abs(distance) < 1e-9
    kernels /= np.where(near_zero, 1.0, np.pi * distance)
    kernels[near_zero] = 1.0
    kernels *= (1 + cosine(np.pi / 6, 0.0)) * (scale / 2)
    kernels[np.abs(distance) >= 6] = 0.0
    return kernels
