"""Modules that stand for another inside a model: compiled ones, checkpointed ones, adapters around linear layers.

A path through them is longer (`layers.0._orig_mod.fc1`), and the structure is the one without them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn

# torch.compile's, and activation checkpointing's: they call the module that they hold, and change no value.
_HELD_AS = ("_orig_mod", "_checkpoint_wrapped_module")


def walk(module: nn.Module) -> Iterator[tuple[str, str, nn.Module]]:
    """`named_modules` without wrappers: the path as if there were none, the true path, and the module.

    Linear layers and attentions with an adapter around them (PEFT) are given whole: what is inside is the adapter's.
    """
    yield from _walk(module, "", "", set())


def _walk(module: nn.Module, name: str, path: str, seen: set[int]) -> Iterator[tuple[str, str, nn.Module]]:
    path, module = through(module, path)
    if id(module) in seen:
        return
    seen.add(id(module))
    yield name, path, module
    if unadapted(module) is not module:
        return
    for child_name, child in module.named_children():
        yield from _walk(child, _joined(name, child_name), _joined(path, child_name), seen)


def children(module: nn.Module) -> Iterator[nn.Module]:
    """The children of a module, without wrappers."""
    for child in module.children():
        yield through(child)[1]


def through(module: nn.Module, path: str = "") -> tuple[str, nn.Module]:
    """The module that a wrapper stands for, and its path; any other module as it is."""
    while True:
        held = next((name for name in _HELD_AS if isinstance(module._modules.get(name), nn.Module)), None)
        held = held or _trained_copy(module)
        if held is None:
            return path, module
        path, module = _joined(path, held), module.get_submodule(held)


def _trained_copy(module: nn.Module) -> str | None:
    """Where PEFT keeps the copy of a module that it trains whole (`modules_to_save`) and runs in its place."""
    copies = module._modules.get("modules_to_save")
    if not isinstance(copies, nn.ModuleDict) or "original_module" not in module._modules:
        return None
    active = [name for name in getattr(module, "active_adapters", []) if name in copies]
    if getattr(module, "disable_adapters", False) or not active:
        return "original_module"
    return f"modules_to_save.{active[0]}"


def unadapted(module: nn.Module) -> nn.Module:
    """The layer that a PEFT layer adapts, or a linear layer that clips what goes in and out; others as they are."""
    while True:
        held = module._modules.get("base_layer") or _clipped(module)
        if not isinstance(held, nn.Module):
            return module
        module = held


def _clipped(module: nn.Module) -> nn.Module | None:
    """The linear layer in a module that is nothing else (Gemma 4's, which clips to a range)."""
    held = module._modules.get("linear")
    alone = len(module._modules) == 1 and not module._parameters and type(module).__name__.endswith("Linear")
    return held if alone and isinstance(held, nn.Linear) else None


def is_linear(module: nn.Module) -> bool:
    """Whether a module is a linear layer: torch's, one with an adapter around it, or a quantised one."""
    layer: Any = unadapted(module)
    if isinstance(layer, nn.Linear):
        return True
    widths = (getattr(layer, "in_features", None), getattr(layer, "out_features", None))
    return all(isinstance(width, int) for width in widths) and not any(
        isinstance(child, nn.Linear) for child in layer.modules()
    )


def in_features(linear: nn.Module) -> int:
    """How many values a linear layer reads."""
    layer: Any = unadapted(linear)  # not all that are linear are nn.Linear
    return int(layer.in_features)


def out_features(linear: nn.Module) -> int:
    """How many values a linear layer returns."""
    layer: Any = unadapted(linear)
    return int(layer.out_features)


def uncompiled() -> AbstractContextManager[Any]:
    """While open, what torch.compile compiled runs as it was written: its values, and every module at its place."""
    if "torch._dynamo" not in sys.modules:  # nothing can have been compiled, and importing it takes seconds
        return nullcontext()
    return torch.compiler.set_stance("force_eager")


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
