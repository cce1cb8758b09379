"""A module is run as it is, and left as it was: its mode, its buffers, what it remembers of a forward."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor, nn

from ..kernels.surroundings import plain_torch

P = ParamSpec("P")
R = TypeVar("R")
_NOT_HOOKS = ("_parameters", "_modules", "_buffers")
_PLAIN_OUTPUTS = {
    "output_attentions": False, "_output_attentions": False, "output_hidden_states": False, "return_dict": True,
    "torchscript": False,
}  # fmt: skip
"""How a transformers config that asks for nothing else is set."""
_SMALL = 2**20  # numbers: larger buffers are weights by another name, and are not copied


@contextmanager
def eval_mode(module: nn.Module) -> Iterator[None]:
    """In eval mode while open: dropout and layer drop would make a unit's activation a matter of luck."""
    training = [child for child in module.modules() if child.training]
    if training:
        module.eval()
    try:
        yield
    finally:
        for child in training:
            child.training = True


@contextmanager
def plain_outputs(module: nn.Module) -> Iterator[None]:
    """While open, transformers' modules return what they do by default: named, and nothing beside it.

    Attention weights and hidden states that a config asks for cost their memory and are not looked at; plain tuples
    (return_dict=False) trip transformers' own models.
    """
    found = [vars(child).get("config") for child in module.modules()]
    configs = {id(config): config for config in found if hasattr(config, "__dict__")}
    before = [
        (vars(config), name, vars(config)[name])
        for config in configs.values()
        for name, plain in _PLAIN_OUTPUTS.items()
        if vars(config).get(name, plain) != plain
    ]
    try:
        for values, name, _ in before:
            values[name] = _PLAIN_OUTPUTS[name]  # past the properties, which forbid some of the ways back
        yield
    finally:
        for values, name, value in before:
            values[name] = value


@contextmanager
def preserving(module: nn.Module) -> Iterator[None]:
    """Afterwards every attribute, hook and buffer of the module is what it was, after an error too.

    Modules keep things of a forward (positions for the longest clip so far, counters), and nnsight puts a `forward`
    of its own into each. Weights are not looked after, for nothing here changes them; a conversion to another dtype or
    device, which was asked for, stays.
    """
    states = [_ModuleState(child) for child in module.modules() if not isinstance(child, torch.jit.ScriptModule)]
    try:
        yield
    finally:
        for state in states:
            state.restore()


def preserves_model(run: Callable[P, R]) -> Callable[P, R]:
    """A function whose first argument is a model, which it leaves as it was (`preserving`).

    What its caller has set for torch does not count in it (`plain_torch`); of an autocast that is said.
    """

    @wraps(run)
    def run_and_restore(*args: P.args, **kwargs: P.kwargs) -> R:
        model: Any = args[0] if args else kwargs.get("model")
        module = model if isinstance(model, nn.Module) else getattr(model, "wrapped", None)
        with plain_torch(tells=True):
            if not isinstance(module, nn.Module):
                return run(*args, **kwargs)
            with preserving(module):
                return run(*args, **kwargs)

    return run_and_restore


class _ModuleState:
    """One module's attributes, hooks and buffers."""

    def __init__(self, module: nn.Module) -> None:
        self.module, self.kind = module, type(module)
        self.attributes = dict(vars(module))
        self.registries = {
            name: dict(value)
            for name, value in self.attributes.items()
            if isinstance(value, dict) and name not in _NOT_HOOKS
        }
        self.buffers = dict(module._buffers)
        self.contents = [
            (buffer, buffer._version, buffer.detach().clone())
            for buffer in self.buffers.values()
            if isinstance(buffer, Tensor) and buffer.numel() <= _SMALL and not buffer.is_inference()
        ]

    def restore(self) -> None:
        if type(self.module) is not self.kind:  # a lazy layer has become the layer that it is now
            return
        attributes: dict[str, Any] = vars(self.module)
        _put_back(attributes, self.attributes)
        for name, value in self.registries.items():
            _put_back(attributes[name], value)
        for buffer, version, content in self.contents:
            if buffer._version != version:
                buffer.detach().copy_(content)
        now = self.module._buffers
        _put_back(now, {name: _converted(buffer, now.get(name)) for name, buffer in self.buffers.items()})


def _converted(buffer: Tensor | None, now: Tensor | None) -> Tensor | None:
    """A buffer as it was, on the device and in the dtype of what is in its place now."""
    return buffer if buffer is None or now is None else buffer.to(device=now.device, dtype=now.dtype)


def _put_back(now: dict[Any, Any], before: Mapping[Any, Any]) -> None:
    """Make a dict what it was; the dict itself stays, for others hold it. Values are told apart by identity."""
    if now.keys() != before.keys() or any(now[name] is not value for name, value in before.items()):
        now.clear()
        now.update(before)
