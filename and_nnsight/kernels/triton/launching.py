"""Triton launches on the current GPU, whatever GPU a kernel's tensors are on."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def on_device_of(tensor: Tensor) -> AbstractContextManager[object]:
    """Make a tensor's GPU the current one; nothing for a tensor on the CPU, where Triton's interpreter runs."""
    return torch.cuda.device(tensor.device) if tensor.is_cuda else nullcontext()
