"""What of a model's numbers hangs on settings around it: which attention it runs, and products of shortened float32."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

_FULL = ("none", "ieee")  # torch's words for products of whole float32


def arithmetic(model: nn.Module, device: torch.device) -> str:
    """In words, for example "sdpa attention, convolutions in tf32"; empty where there is nothing to say."""
    kinds = {str(kind) for kind in map(_attention, model.modules()) if kind is not None}
    attention = [f"{'/'.join(sorted(kinds))} attention"] if kinds else []
    return ", ".join([*attention, *_shortened(device)])


def _attention(module: nn.Module) -> Any:
    return getattr(getattr(module, "config", None), "_attn_implementation", None)


def _shortened(device: torch.device) -> Iterator[str]:
    """The operations that round float32 before they multiply, as `torch.set_float32_matmul_precision` lets them."""
    backends: Any = torch.backends
    places = {
        "cpu": (("products", backends.mkldnn.matmul), ("convolutions", backends.mkldnn.conv)),
        "cuda": (("products", backends.cuda.matmul), ("convolutions", backends.cudnn.conv)),
    }
    for name, place in places.get(device.type, ()):
        precision = place.fp32_precision
        if precision not in _FULL:
            yield f"{name} in {precision}"
