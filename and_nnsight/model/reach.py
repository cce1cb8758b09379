"""Which steps of the features reach each frame before the first attention: measured by gradient, on random weights.

What a frame's front end hears is a matter of the architecture and its config. It is measured on a model built anew of
the config, with positive weights and features, so that no unit is silent and nothing cancels out; the blocks' own
weights, which are most of the model, are never made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn

from .feature_steps import UnclearError
from .features import is_sound

Reach = tuple[int, int]
"""The first step that reaches a frame, and the last."""
_OVER_TIME = ("GroupNorm", "InstanceNorm")


class _Reached(Exception):
    """Carries what goes into the first block out of a forward."""

    def __init__(self, value: Tensor) -> None:
        super().__init__()
        self.value = value


class FrontEnd:
    """The front end of an architecture: what runs before its first block."""

    def __init__(self, module: nn.Module, block: str) -> None:
        """Around a model that was built for this, and is changed by it."""
        self.module, self.block = module.eval(), block
        random = torch.Generator().manual_seed(0)
        _materialise(self.module, self.block, random)
        for child in self.module.modules():
            if type(child).__name__.rstrip("123d").endswith(_OVER_TIME):  # they hear the whole clip, all frames alike
                child.register_forward_hook(lambda module, inputs, output: inputs[0])
        self.module.get_submodule(self.block).register_forward_pre_hook(_leave, with_kwargs=True)

    def into_blocks(self, forward: Callable[[nn.Module], Any]) -> Tensor:
        """What goes into the first block, [frame, width], of one clip. Raises UnclearError where nothing does."""
        try:
            with torch.enable_grad(), _gradients_everywhere():
                forward(self.module)
        except _Reached as reached:
            value = reached.value
            if not value.requires_grad:
                raise UnclearError("its sound reaches its blocks by a way that has no gradient") from None
            return value[0] if value.ndim == 3 and len(value) == 1 else value
        raise UnclearError("its blocks do not run when it hears")


@contextmanager
def _gradients_everywhere() -> Iterator[None]:
    """While open, code that would run without gradients (a frozen codec in front of the blocks) runs with them."""
    with (
        patch.object(torch.no_grad, "__enter__", lambda self: None),
        patch.object(torch.no_grad, "__exit__", lambda self, *raised: None),
    ):
        yield


def reaches(frames: Tensor, features: Tensor, axis: int, chosen: Sequence[int]) -> list[Reach | None]:
    """For each of the chosen frames, the steps that reach it; None where none does. `frames` came of `features`."""
    found = []
    for frame in chosen:
        (gradient,) = torch.autograd.grad(frames[frame].sum(), features, retain_graph=True, allow_unused=True)
        if gradient is None:
            found.append(None)
            continue
        steps = torch.nonzero(gradient.ne(0).movedim(axis, 0).flatten(1).any(1)).flatten()
        found.append((int(steps[0]), int(steps[-1])) if len(steps) else None)
    return found


def _leave(module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
    value = next(filter(is_sound, (*inputs, *named.values())), None)
    if value is not None:
        raise _Reached(value)


def _materialise(module: nn.Module, block: str, random: torch.Generator) -> None:
    """Give weights to what may run before the first block: all but lists of layers that stand at it or after it."""
    later = _later_lists(module, block)
    for path, child in module.named_modules():
        if any(f"{path}.".startswith(f"{each}.") for each in later):
            continue
        for name, weight in child._parameters.items():
            if weight is not None:
                child._parameters[name] = nn.Parameter(_weight(weight, random), requires_grad=False)
        for name, buffer in child._buffers.items():
            if buffer is not None and buffer.is_meta:
                child._buffers[name] = _constant(buffer)


def _later_lists(module: nn.Module, block: str) -> list[str]:
    later: list[str] = []
    reached = False
    for path, child in module.named_modules():
        if isinstance(child, (nn.ModuleList, nn.ModuleDict)) and (reached or f"{block}.".startswith(f"{path}.")):
            later.append(path)
            reached = True
    return later


def _weight(weight: Tensor, random: torch.Generator) -> Tensor:
    fan_in = max(1, weight[0].numel()) if weight.ndim > 1 else 1
    made = torch.rand(weight.shape, generator=random, dtype=torch.float32) + 0.5
    return made / fan_in if weight.ndim > 1 else 0.1 * made if weight.ndim == 0 else made


def _constant(buffer: Tensor) -> Tensor:
    return torch.full(buffer.shape, float(buffer.is_floating_point()), dtype=buffer.dtype)
