"""A bridged model without its bridge: a view for whoever reads its structure, or the model itself taken apart."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from torch import nn
from transformer_lens.model_bridge.generalized_components.base import GeneralizedComponent


def plain(module: nn.Module) -> nn.Module:
    """The module behind a bridge component; any other module as it is."""
    while isinstance(module, GeneralizedComponent):
        original = module.original_component
        if original is None:
            raise ValueError(f"bridge component {module.name!r} wraps nothing")
        module = original
    return module


def plain_view(module: nn.Module) -> nn.Module:
    """The module tree as it was before it was bridged: shells that share every weight, and no hooks."""
    original = plain(module)
    view = object.__new__(type(original))  # copy.copy refuses parametrized modules (the positional convolution)
    vars(view).update(vars(original))
    children: dict[str, nn.Module | None] = {
        name: None if child is None else plain_view(child) for name, child in original._modules.items()
    }
    vars(view)["_modules"] = children
    for hooks in ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks"):
        vars(view)[hooks] = OrderedDict()
    return view


def submodule(module: nn.Module, path: str) -> nn.Module:
    """The module at a path of the plain model, inside the bridged one."""
    found: Any = module
    for part in filter(None, path.split(".")):
        found = getattr(plain(found), part)
    return plain(found)


def unwrap(module: nn.Module) -> None:
    """Put the plain modules back in the places of bridge components, everywhere below a module."""
    for name, child in module._modules.items():
        if child is None:
            continue
        original = plain(child)
        unwrap(original)
        module._modules[name] = original
        if isinstance(original, nn.Linear) and "bias" in original._buffers:
            # A bias of zeros that the bridge gave a head without one.
            del original._buffers["bias"]
            original.register_parameter("bias", None)
