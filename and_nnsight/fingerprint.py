"""What a run was made with, as JSON: so that a folder can tell whether it is continued by the same run.

Recognised of a model: its config, every weight and buffer, the kinds of its modules and what they were set up with
(activation functions, scales, strides). Hooks and forwards that somebody put in are counted as edits: what they do
cannot be told, so a run of such a model is only continued where the caller vouches for it. Not seen: functions that are
replaced within other libraries.
"""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from types import CellType, CodeType, FunctionType, MethodType
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.modules.module import _global_forward_hooks, _global_forward_pre_hooks

from .audio_error import AudioError
from .waveforms import as_array

_DEEPEST = 4  # of what attributes hold
_LIBRARIES = frozenset(
    {
        "accelerate",
        "and_nnsight",
        "and_nnsight_lens",
        "bitsandbytes",
        "nnsight",
        "peft",
        "torch",
        "torchao",
        "transformer_lens",
        "transformers",
    }
)
_STATE = ("training", "gradient_checkpointing", "name_or_path", "forward")  # says nothing of the values
_LEFT_OUT = ("transformers_version", "_name_or_path", "dtype", "torch_dtype", "_attn_implementation")


def config_hash(model: nn.Module) -> str:
    """Short hash of the model's config (of its printed structure where it has none)."""
    config: Any = getattr(model, "config", None)
    values = config.to_dict() if hasattr(config, "to_dict") else {"structure": repr(model)}
    kept = {name: value for name, value in values.items() if name not in _LEFT_OUT}
    return _short(json.dumps(kept, sort_keys=True, default=str).encode())


def weights_hash(model: nn.Module) -> str:
    """Short hash of every byte of every parameter and buffer: a model with one unit ablated has another."""
    digest = hashlib.blake2b(digest_size=8)
    with torch.no_grad():
        for name, value in _state(model).items():
            for tensor in _tensors(value):
                digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
                digest.update(tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def structure_hash(model: nn.Module) -> str:
    """Short hash of what weights do not show: kinds of modules, their plain attributes, non-persistent buffers."""
    digest = hashlib.blake2b(digest_size=8)
    kept = set(model.state_dict())
    with torch.no_grad():
        for name, module in model.named_modules():
            kind = type(module)
            digest.update(f"\0{name} {kind.__module__}.{kind.__qualname__}".encode())
            for key, value in sorted(_attributes(module)):
                digest.update(f"\0{key}={value}".encode("utf-8", "surrogatepass"))
        for name, buffer in model.named_buffers():
            if name not in kept and not buffer.is_meta:
                digest.update(f"\0{name}{tuple(buffer.shape)}{buffer.dtype}".encode())
                digest.update(buffer.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _attributes(module: nn.Module) -> Iterator[tuple[str, str]]:
    """What a module was set up with: numbers, names and functions, by name; not its state, nor what it remembers."""
    for key, value in vars(module).items():
        if key.startswith("_") or key in _STATE or "cache" in key:
            continue
        if (said := _said(value)) is not None:
            yield key, said


def _said(value: Any, depth: int = 0) -> str | None:
    """A plain value or a function as text that is the same in every process; None for anything else."""
    if value is None or isinstance(value, bool | int | float | complex | str | bytes | torch.dtype | Enum):
        return repr(value)
    if depth == _DEEPEST or isinstance(value, nn.Module):
        return None
    if isinstance(value, torch.Tensor | np.ndarray):
        return _values(value)
    if isinstance(value, Mapping):
        value = [part for key in sorted(value, key=str) for part in (str(key), value[key])]
    if isinstance(value, list | tuple | set | frozenset):
        parts = [_said(part, depth + 1) for part in value]
        if None in parts:
            return None
        return repr(parts if isinstance(value, list | tuple) else sorted(map(str, parts)))
    return _said_of_function(value, depth) if callable(value) else None


def _said_of_function(value: Any, depth: int) -> str:
    """A function by its name, and one without by its code; with what it carries along: arguments, cells, an owner."""
    if isinstance(value, partial):
        carried: Any = [value.func, value.args, value.keywords]
    elif isinstance(value, MethodType):
        carried = [value.__self__]
    elif isinstance(value, FunctionType):
        cells = [cell.cell_contents for cell in value.__closure__ or () if cell != CellType()]
        carried = [value.__defaults__, value.__kwdefaults__, cells]
    else:
        carried = None if isinstance(value, type) else [vars(value) if hasattr(value, "__dict__") else None]
    named: Any = value if hasattr(value, "__qualname__") else type(value)
    name, code = f"{named.__module__}.{named.__qualname__}", getattr(value, "__code__", None)
    nameless = "<l" in name or _root(value) not in _LIBRARIES  # a lambda, a local function, somebody's own
    more = [_said(part, depth + 1) for part in carried or ()]
    return f"{name} {_code(code) if nameless and isinstance(code, CodeType) else ''} {more}"


def _values(value: torch.Tensor | np.ndarray) -> str | None:
    """Short hash of a tensor's or an array's values; None where it has none that can be read."""
    try:
        array = as_array(value) if isinstance(value, torch.Tensor) else value
    except AudioError:
        return None
    if array.dtype.hasobject:
        return None
    content = np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
    return f"{array.dtype.str}{array.shape}{hashlib.blake2b(content, digest_size=8).hexdigest()}"


def _code(code: CodeType) -> str:
    """Short hash of a function's code: one without a name of its own is known by what it does."""
    constants = [_code(part) if isinstance(part, CodeType) else repr(part) for part in code.co_consts]
    return _short(repr((code.co_code, constants, code.co_names)).encode())


def changes(model: nn.Module) -> int:
    """How many hooks and forwards somebody put into a model's modules, other than the libraries that made it."""
    everywhere = _foreign(_global_forward_hooks, _global_forward_pre_hooks)
    return everywhere + sum(_hooks(module) + _is_replaced(module) + _shadowed(module) for module in model.modules())


def _hooks(module: nn.Module) -> int:
    return _foreign(module._forward_hooks, module._forward_pre_hooks)


def _foreign(*hooks: Mapping[int, Callable[..., Any]]) -> int:
    """How many hooks come from none of the libraries."""
    return sum(_root(hook) not in _LIBRARIES for each in hooks for hook in each.values())


def _is_replaced(module: nn.Module) -> bool:
    """Whether a module runs another forward than its class's."""
    kind = type(module)
    forward: Any = vars(module).get("forward")
    known = {base.__module__.partition(".")[0] for base in kind.__mro__} | {"functools"} | _LIBRARIES
    if forward is None or "_hf_hook" in vars(module):  # accelerate's, which moves tensors between devices
        return inspect.isfunction(kind.forward) and _root(kind.forward) not in known
    # nnsight puts one of its own into the place of each, which keeps the one that it found.
    forward = getattr(getattr(forward, "state", None), "original", forward)
    forward = getattr(forward, "__func__", forward)
    given = inspect.isfunction(forward) and _root(forward) not in known  # to the class
    return given or not any(forward is method for base in kind.__mro__ for method in vars(base).values())


def _shadowed(module: nn.Module) -> int:
    """How many other methods of its class a module has one of its own for."""
    names = set(vars(module)) - {"forward"}
    return sum(inspect.isfunction(inspect.getattr_static(type(module), name, None)) for name in names)


def _root(function: Callable[..., Any]) -> str:
    """The package that a function, or the object that is called, comes from."""
    function = getattr(function, "func", function)  # functools.partial
    named = function if hasattr(function, "__qualname__") else type(function)
    return str(named.__module__).partition(".")[0]


def _state(model: nn.Module) -> Mapping[str, Any]:
    """The model's weights, also of those that accelerate keeps elsewhere until they are needed."""
    state = model.state_dict()
    if not any(isinstance(value, torch.Tensor) and value.is_meta for value in state.values()):
        return state
    from accelerate.utils.modeling import get_state_dict_offloaded_model

    return get_state_dict_offloaded_model(model)


def _tensors(value: Any) -> list[torch.Tensor]:
    """The plain tensors in a state: quantised modules keep tuples there, and tensors with scales."""
    if isinstance(value, (tuple, list)):
        return [tensor for part in value for tensor in _tensors(part)]
    if not isinstance(value, torch.Tensor):
        return []
    if not value.is_quantized:
        return [value]
    per_channel = value.qscheme() in (torch.per_channel_affine, torch.per_channel_affine_float_qparams)
    scale = value.q_per_channel_scales() if per_channel else torch.tensor(value.q_scale())
    zero = value.q_per_channel_zero_points() if per_channel else torch.tensor(value.q_zero_point())
    return [value.int_repr(), scale, zero]


def extractor_hash(extractor: Any) -> str:
    """Short hash of a feature extractor's settings."""
    values = extractor.to_dict() if hasattr(extractor, "to_dict") else {"extractor": repr(extractor)}
    kept = vars(extractor).items() if hasattr(extractor, "__dict__") else ()
    arrays = {name: _values(value) for name, value in kept if isinstance(value, torch.Tensor | np.ndarray)}
    values = {**values, "class": f"{type(extractor).__module__}.{type(extractor).__qualname__}", **arrays}
    return _short(json.dumps(values, sort_keys=True, default=str).encode())


def package_versions() -> dict[str, str]:
    """Versions of the packages that a result depends on."""
    found = {}
    for name in ("and-nnsight", "nnsight", "transformers", "torch", "torchaudio"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "unknown"
    return found


def _short(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=8).hexdigest()


def describe_model(model: Any) -> dict[str, Any]:
    """Id, revision, class and hashes of an AudioModel, for the manifest."""
    module = model.wrapped
    return {
        "id": model.repo_id or type(module).__name__,
        "revision": model.revision,
        "class": type(module).__name__,
        "edits": len(model._edits) + changes(module),
        "config": config_hash(module),
        "weights": weights_hash(module),
        "structure": structure_hash(module),
        "features": extractor_hash(model.featuriser.extractor),
    }
