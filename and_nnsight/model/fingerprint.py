"""What a run was made with, as JSON: so that a folder can tell whether it is continued by the same run.

Recognised of a model: its config, every weight and buffer, the kinds of its modules and what they were set up with
(activation functions, scales, strides, which adapters are on), and the code of classes that are somebody's own. Hooks
and forwards that somebody put in are counted as edits: what they do cannot be told, so a run of such a model is only
continued where the caller vouches for it. So are functions of the libraries that somebody replaced, as far as `patches`
sees them.
"""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.modules.module import _global_forward_hooks, _global_forward_pre_hooks

from ..storage import short_hash
from .attribute_text import array_text, class_text, plain_text
from .code_text import is_own
from .origins import LIBRARIES, root_package
from .patches import replaced_functions
from .weight_files import WeightFiles

_STATE = ("training", "gradient_checkpointing", "name_or_path", "forward")  # says nothing of the values
_PLAIN = frozenset(vars(nn.Module()))
_OF_LIBRARIES = ("__", "_hf_", "_is_hf_", "_old_forward")  # what libraries put into modules that are not theirs
_LEFT_OUT = ("transformers_version", "_name_or_path", "dtype", "torch_dtype", "_attn_implementation")


def config_hash(model: nn.Module) -> str:
    """Short hash of the model's config (of its printed structure where it has none)."""
    config: Any = getattr(model, "config", None)
    values = config.to_dict() if hasattr(config, "to_dict") else {"structure": repr(model)}
    kept = {name: value for name, value in values.items() if name not in _LEFT_OUT}
    return short_hash(json.dumps(kept, sort_keys=True, default=str))


def weights_hash(model: nn.Module) -> str:
    """Short hash of every byte of every parameter and buffer: a model with one unit ablated has another."""
    digest, files = hashlib.blake2b(digest_size=8), WeightFiles()
    with torch.no_grad():
        for name, value in _state(model).items():
            for tensor in _tensors(value):
                digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
                for block in files.blocks(tensor):
                    digest.update(block)
    return digest.hexdigest()


def structure_hash(model: nn.Module) -> str:
    """Short hash of what weights do not show: kinds of modules, their plain attributes, non-persistent buffers."""
    digest = hashlib.blake2b(digest_size=8)
    kept = set(model.state_dict())
    for kind in dict.fromkeys(map(type, model.modules())):
        digest.update(class_text(kind).encode("utf-8", "surrogatepass"))
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
    private = _own_private_names(module)
    for key, value in vars(module).items():
        if (key.startswith("_") and key not in private) or key in _STATE or "cache" in key:
            continue
        text = plain_text(value)
        if text is not None:
            yield key, text


def _own_private_names(module: nn.Module) -> set[str]:
    """Private attributes that belong to the module's own kind: what PEFT switches, what somebody's class holds."""
    if not _is_set_up_in_private(type(module)):
        return set()
    libraries = [base for base in type(module).__mro__ if not _is_set_up_in_private(base)]
    return {
        name
        for name in vars(module)
        if not name.startswith(_OF_LIBRARIES)
        and name not in _PLAIN
        and not any(hasattr(base, name) for base in libraries)
    }


def _is_set_up_in_private(kind: type) -> bool:
    return is_own(kind) or root_package(kind) == "peft"


def changes(model: nn.Module, extractor: Any = None) -> int:
    """How many hooks, forwards and functions of libraries somebody put in, other than the libraries themselves.

    Functions that the feature extractor runs count as well.
    """
    everywhere = _foreign(_global_forward_hooks, _global_forward_pre_hooks) + len(replaced_functions(model, extractor))
    return everywhere + sum(_hooks(module) + _is_replaced(module) + _shadowed(module) for module in model.modules())


def _hooks(module: nn.Module) -> int:
    return _foreign(module._forward_hooks, module._forward_pre_hooks)


def _foreign(*hooks: Mapping[int, Callable[..., Any]]) -> int:
    """How many hooks come from none of the libraries."""
    return sum(root_package(hook) not in LIBRARIES for each in hooks for hook in each.values())


def _is_replaced(module: nn.Module) -> bool:
    """Whether a module runs another forward than its class's."""
    kind = type(module)
    forward: Any = vars(module).get("forward")
    known = {base.__module__.partition(".")[0] for base in kind.__mro__} | {"functools"} | LIBRARIES
    if forward is None or "_hf_hook" in vars(module):  # accelerate's, which moves tensors between devices
        return _is_foreign_function(kind.forward, known)
    # nnsight puts one of its own into the place of each, which keeps the one that was there.
    forward = getattr(getattr(forward, "state", None), "original", forward)
    forward = getattr(forward, "__func__", forward)
    own = any(forward is method for base in kind.__mro__ for method in vars(base).values())
    return not own or _is_foreign_function(forward, known)  # put into the module, or into its class


def _is_foreign_function(function: Any, known: Collection[str]) -> bool:
    return inspect.isfunction(function) and root_package(function) not in known


def _shadowed(module: nn.Module) -> int:
    """How many other methods of its class a module has one of its own for."""
    names = set(vars(module)) - _PLAIN - {"forward"}
    return sum(inspect.isfunction(inspect.getattr_static(type(module), name, None)) for name in names)


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
    attributes = vars(extractor).items() if hasattr(extractor, "__dict__") else ()
    arrays = {name: array_text(value) for name, value in attributes if isinstance(value, torch.Tensor | np.ndarray)}
    kind = type(extractor)
    values = {**values, "class": f"{kind.__module__}.{kind.__qualname__}{class_text(kind)}", **arrays}
    return short_hash(json.dumps(values, sort_keys=True, default=str))


def package_versions() -> dict[str, str]:
    """Versions of the packages that a result depends on."""
    return {name: _version(name) for name in ("and-nnsight", "nnsight", "transformers", "torch", "torchaudio")}


@cache
def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"
