"""Where the fused kernels stand in for the torch path: on a GPU that Triton compiles for. Their results are equal."""

from __future__ import annotations

import os
import warnings
from functools import cache
from types import ModuleType

import torch
from torch import Tensor

SWITCH = "AND_NNSIGHT_TRITON"
"""Set to 0 for the torch path on every device."""
_DTYPES = (torch.float32, torch.bfloat16, torch.float16)


def fused_kernels(device: torch.device) -> ModuleType | None:
    """`kernels.triton` for tensors of a device; None where the torch path is to be used."""
    if device.type != "cuda" or os.environ.get(SWITCH) == "0":
        return None
    return _kernels(device.index or 0)


def fused_pooling(activations: Tensor) -> ModuleType | None:
    """`kernels.triton` for activations [clip, frame, unit] that its pooling takes: their units lie side by side."""
    kernels = fused_kernels(activations.device)
    fits = activations.dtype in _DTYPES and activations.stride(2) == 1
    return kernels if fits else None


@cache
def _kernels(index: int) -> ModuleType | None:
    """The kernels, after a trial on the device: Triton needs a C compiler, and GPUs that it knows."""
    try:
        from . import triton

        device = torch.device("cuda", index)
        trial = torch.ones(1, 1, 1, device=device)
        triton.pool_max(trial, trial[..., 0].bool())
    except Exception as error:  # whatever a compiler may say
        warnings.warn(
            f"the fused kernels cannot be used on cuda:{index} ({type(error).__name__}: {error}); results are the same "
            f"without them, and take longer. {SWITCH}=0 leaves them out without this warning",
            stacklevel=2,
        )
        return None
    return triton
