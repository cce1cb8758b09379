"""Devices and dtypes: those that may be asked for, and those that a module has."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ..wording import first_line
from .checkpoint import ModelError

_DTYPES = {
    "float32": torch.float32, "fp32": torch.float32, "bfloat16": torch.bfloat16, "bf16": torch.bfloat16,
    "float16": torch.float16, "fp16": torch.float16, "float64": torch.float64,
}  # fmt: skip


def known_dtype(dtype: Any) -> torch.dtype:
    """A dtype that weights can have, by its name or as it is. Raises ValueError, with the names, for any other."""
    known = _DTYPES.get(dtype.removeprefix("torch.")) if isinstance(dtype, str) else dtype
    if isinstance(known, torch.dtype) and known in _DTYPES.values():
        return known
    name = repr(dtype) if isinstance(dtype, str) else str(dtype)
    raise ValueError(f"unknown dtype {name}: one of {', '.join(_DTYPES)}")


def known_device(name: Any) -> torch.device:
    """A device that can be used here. Raises ValueError, saying why, for any other."""
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError) as error:
        raise ValueError(
            f"device {str(name)!r} cannot be used here: there is none of that name; {_choices()}"
        ) from error
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(f"device {str(name)!r} cannot be used here: this machine lacks it; {_choices()}") from error
    if device.type == "meta":
        raise ValueError("device 'meta' cannot be used here: nothing is computed on it")
    return device


def _choices() -> str:
    """What may be asked for on this machine, in words."""
    there = ["cpu"]
    if torch.cuda.is_available():
        there += ["cuda", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        there.append("mps")
    return f"choose {' or '.join(there)}, or leave it out for the best that there is"


def device_of(module: nn.Module) -> torch.device:
    """Where a module computes: accelerate's word where it moves weights there and back, else where its weights are."""
    for child in module.modules():
        hook: Any = child.__dict__.get("_hf_hook")
        for part in getattr(hook, "hooks", [hook]):
            if (device := getattr(part, "execution_device", None)) is not None:
                return torch.device(device)
    tensors = [*module.parameters(), *module.buffers()]
    return next((tensor.device for tensor in tensors), torch.device("cpu"))


def dtype_of(module: nn.Module) -> torch.dtype:
    """The dtype that a module computes in: that of its first floating-point weights, else of such buffers."""
    tensors = [*module.parameters(), *module.buffers()]
    return next((tensor.dtype for tensor in tensors if tensor.is_floating_point()), torch.float32)


@contextmanager
def one_dtype(module: nn.Module) -> Iterator[None]:
    """Raise ModelError, which says what to do, where a forward fails because the module's weights differ in dtype."""
    try:
        yield
    except RuntimeError as error:
        dtypes = {str(tensor.dtype) for tensor in module.parameters() if tensor.is_floating_point()}
        if len(dtypes) < 2 or "type" not in str(error):
            raise
        names = " and ".join(sorted(name.removeprefix("torch.") for name in dtypes))
        raise ModelError(
            f"the weights of this {type(module).__name__} are partly in {names}, and its forward does not mix them "
            f"({first_line(error)}): pass dtype='float32', or convert it with .to()"
        ) from error


def require_weights(module: nn.Module) -> None:
    """Raise ModelError for a module without weights (on the meta device), unless accelerate brings them when needed."""
    if any("_hf_hook" in child.__dict__ for child in module.modules()):
        return
    if any(parameter.device.type == "meta" for parameter in module.parameters()):
        raise ModelError(
            f"this {type(module).__name__} has no weights (it was built on the meta device): load them with "
            "from_pretrained or load_state_dict(…, assign=True), or give the checkpoint by its name"
        )


def require_dtype(module: nn.Module) -> None:
    """Raise ModelError for a module in a dtype that weights are only stored in (float8), and nothing is computed in."""
    dtype = dtype_of(module)
    if dtype not in _DTYPES.values():
        name = str(dtype).removeprefix("torch.")
        raise ModelError(
            f"this {type(module).__name__} is in {name}, which it cannot compute in: pass dtype='bfloat16'"
        )


def to_device(features: dict[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    """Features on a device; see `sent`."""
    return {name: on_device(tensor, device) for name, tensor in features.items()}


def on_device(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor on a device; to a GPU from pinned memory, without waiting for the copy."""
    if device.type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)
