"""Tensors that front ends need on the device of their input, put there without waiting for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

_KEPT: WeakKeyDictionary[Any, dict[Any, Tensor]] = WeakKeyDictionary()


def working_dtype(like: Tensor, own: torch.dtype | None = None) -> torch.dtype:
    """What features of this tensor are computed in: float64 on a GPU that has it, where float32 may be shortened.

    own  what the extractor computes in, on the CPU; None: the tensor's own
    """
    if like.device.type == "mps":
        return torch.float32
    return torch.float64 if like.device.type == "cuda" else own or like.dtype


def constant(owner: Any, name: str, like: Tensor, make: Callable[[], Tensor]) -> Tensor:
    """What `make` gives, on the device and in the dtype of a tensor; kept as long as its owner lives."""
    kept, key = _KEPT.setdefault(owner, {}), (name, like.device, like.dtype)
    if key not in kept:
        with torch.inference_mode(False), torch.no_grad():  # it may stand beside gradients later
            kept[key] = make().to(like.device, like.dtype)
    return kept[key]


def on_device(values: Sequence[int], device: torch.device) -> Int64[Tensor, " value"]:
    """Numbers of the host on a device."""
    tensor = torch.tensor(list(values), dtype=torch.int64, device="cpu")
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def within(lengths: Sequence[int], size: int, device: torch.device) -> Bool[Tensor, "clip place"]:
    """Which of so many places lie within each length."""
    return torch.arange(size, device=device) < on_device(lengths, device)[:, None]


def power(spectrum: Tensor) -> Tensor:
    """Squared magnitudes of a complex spectrum; their gradient at silence is 0, where that of a magnitude is none."""
    return torch.view_as_real(spectrum).square().sum(-1)
