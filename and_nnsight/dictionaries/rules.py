"""What makes latents of an encoder's output: one rule an architecture, whose arithmetic is `kernels.latents`.

An encoder's output here is W x, without its bias: a gated dictionary adds two of them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor

R = TypeVar("R", bound="Rule")


@dataclass(frozen=True, eq=False)
class Rule(ABC):
    """What makes latents of an encoder's output. `FORM` is what `kernels.latents` knows it by."""

    FORM: ClassVar[str]

    @property
    @abstractmethod
    def kind(self) -> str:
        """In words, with its numbers."""

    @property
    def group(self) -> int:
        """How many neighbours are decided of together: parts are whole groups."""
        return 1

    @property
    def numbers(self) -> dict[str, Any]:
        """What the arithmetic takes: tensors over latents, and plain values."""
        return {name: value for name, value in vars(self).items() if not isinstance(value, str)}


def on_device(rule: R, device: torch.device) -> R:
    """A rule with its numbers on a device."""
    tensors = {name: each.to(device) for name, each in vars(rule).items() if isinstance(each, Tensor)}
    return replace(rule, **tensors)


@dataclass(frozen=True, eq=False)
class Rectified(Rule):
    """relu(Wx + b), the standard dictionary."""

    FORM: ClassVar[str] = "rectified"
    bias: Tensor

    @property
    def kind(self) -> str:
        """In words."""
        return "standard"


@dataclass(frozen=True, eq=False)
class Jump(Rule):
    """relu(Wx + b) where Wx + b is above the latent's threshold, else 0: JumpReLU, and BatchTopK once it is trained."""

    FORM: ClassVar[str] = "jump"
    bias: Tensor
    threshold: Tensor
    name: str = "jumprelu"

    @property
    def kind(self) -> str:
        """In words."""
        return self.name


@dataclass(frozen=True, eq=False)
class Gated(Rule):
    """relu(exp(r) Wx + b) where Wx + b' is above 0, else 0."""

    FORM: ClassVar[str] = "gated"
    gate_bias: Tensor
    log_gain: Tensor
    bias: Tensor

    @property
    def kind(self) -> str:
        """In words."""
        return "gated"


@dataclass(frozen=True, eq=False)
class GroupMaximum(Rule):
    """relu(Wx + b) of the highest of each `size` neighbours, else 0."""

    FORM: ClassVar[str] = "group maximum"
    bias: Tensor
    size: int

    @property
    def kind(self) -> str:
        """In words."""
        return f"groupmax of {self.size}"

    @property
    def group(self) -> int:
        """How many neighbours are decided of together."""
        return self.size


@dataclass(frozen=True, eq=False)
class TopLatents(Rule):
    """relu of the k highest of each frame, of all latents; with `by_magnitude` the k farthest from 0, as they are.

    scale  Wx + b is multiplied by it before the latents of a frame are compared; None: it is not
    """

    FORM: ClassVar[str] = "top"
    bias: Tensor
    k: int
    scale: Tensor | None = None
    by_magnitude: bool = False

    @property
    def kind(self) -> str:
        """In words."""
        return f"abstopk of {self.k}" if self.by_magnitude else f"topk of {self.k}"
