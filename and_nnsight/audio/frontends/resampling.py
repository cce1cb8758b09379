"""Resampling of tensors: the filter of `audio.resampling`, on any device and with gradients."""

from __future__ import annotations

import math

import torch
import torchaudio.functional
from jaxtyping import Float
from torch import Tensor

from .. import resampling as of_arrays  # it says what is wrong where torchaudio does not load
from .tensors import working_dtype


def resample(
    waveforms: Float[Tensor, "*clip time"], source_rate: int, sampling_rate: int
) -> Float[Tensor, "*clip new"]:
    """Band-limited interpolation from one rate to another, ceil(time · sampling_rate / source_rate) samples.

    On the CPU the bits of `audio.resampling.resample`. Raises ValueError for rates with so small a common divisor that
    the filter's table would not fit, unless the waveform is one that needs no gradient, on the CPU.
    """
    if source_rate == sampling_rate:
        return waveforms
    tracked = waveforms.requires_grad and torch.is_grad_enabled()
    if waveforms.device.type == "cpu" and waveforms.dtype == torch.float32 and not tracked and waveforms.ndim == 1:
        return torch.from_numpy(of_arrays.resample(waveforms.detach().numpy(), source_rate, sampling_rate))
    divisor = math.gcd(source_rate, sampling_rate)
    old, new = source_rate // divisor, sampling_rate // divisor
    if not of_arrays.has_table(old, new):
        raise ValueError(
            f"waveforms at {source_rate} Hz cannot be resampled to {sampling_rate} Hz here, for their common divisor "
            "is small: resample them as arrays first (audio.loading.load)"
        )
    resampled = torchaudio.functional.resample(waveforms.to(working_dtype(waveforms)), old, new)
    return resampled.to(waveforms.dtype)
