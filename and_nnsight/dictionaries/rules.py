"""What makes latents of an encoder's output: one rule an architecture, on some latents at a time.

An encoder's output here is W x, without its bias: a gated dictionary adds two of them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeVar

import torch
from jaxtyping import Float, Int64
from torch import Tensor

R = TypeVar("R", bound="Rule")


@dataclass(frozen=True, eq=False)
class Rule(ABC):
    """What makes latents of an encoder's output."""

    @property
    @abstractmethod
    def kind(self) -> str:
        """In words, with its numbers."""

    @property
    def group(self) -> int:
        """How many neighbours are decided of together: parts are whole groups."""
        return 1


def on_device(rule: R, device: torch.device) -> R:
    """A rule with its numbers on a device."""
    tensors = {name: each.to(device) for name, each in vars(rule).items() if isinstance(each, Tensor)}
    return replace(rule, **tensors)


class PartRule(Rule):
    """A rule that decides of each latent by itself, or of `group` neighbours together."""

    @abstractmethod
    def __call__(self, output: Float[Tensor, "frame part"], part: slice) -> Float[Tensor, "frame part"]:
        """The latents of a part."""


@dataclass(frozen=True, eq=False)
class Rectified(PartRule):
    """relu(Wx + b), the standard dictionary."""

    bias: Tensor

    @property
    def kind(self) -> str:
        """In words."""
        return "standard"

    def __call__(self, output: Float[Tensor, "frame part"], part: slice) -> Float[Tensor, "frame part"]:
        """The latents of a part."""
        return (output + self.bias[part]).relu()


@dataclass(frozen=True, eq=False)
class Jump(PartRule):
    """relu(Wx + b) where Wx + b is above the latent's threshold, else 0: JumpReLU, and BatchTopK once it is trained."""

    bias: Tensor
    threshold: Tensor
    name: str = "jumprelu"

    @property
    def kind(self) -> str:
        """In words."""
        return self.name

    def __call__(self, output: Float[Tensor, "frame part"], part: slice) -> Float[Tensor, "frame part"]:
        """The latents of a part."""
        before = output + self.bias[part]
        return before.relu() * (before > self.threshold[part])


@dataclass(frozen=True, eq=False)
class Gated(PartRule):
    """relu(exp(r) Wx + b) where Wx + b' is above 0, else 0."""

    gate_bias: Tensor
    log_gain: Tensor
    bias: Tensor

    @property
    def kind(self) -> str:
        """In words."""
        return "gated"

    def __call__(self, output: Float[Tensor, "frame part"], part: slice) -> Float[Tensor, "frame part"]:
        """The latents of a part."""
        magnitude = (output * self.log_gain[part].exp() + self.bias[part]).relu()
        return magnitude * (output + self.gate_bias[part] > 0)


@dataclass(frozen=True, eq=False)
class GroupMaximum(PartRule):
    """relu(Wx + b) of the highest of each `size` neighbours, else 0."""

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

    def __call__(self, output: Float[Tensor, "frame part"], part: slice) -> Float[Tensor, "frame part"]:
        """The latents of a part."""
        values = (output + self.bias[part]).relu().unflatten(-1, (-1, self.size))
        best, place = values.max(-1, keepdim=True)
        return torch.zeros_like(values).scatter(-1, place, best).flatten(-2)


class Kept(NamedTuple):
    """The latents of each frame that are kept; all others are 0."""

    values: Float[Tensor, "frame k"]
    indices: Int64[Tensor, "frame k"]

    def part(self, part: slice) -> Float[Tensor, "frame part"]:
        """Some latents of all, dense."""
        width = part.stop - part.start
        inside = (self.indices >= part.start) & (self.indices < part.stop)
        places = torch.where(inside, self.indices - part.start, width)  # what is elsewhere goes behind the end
        latents = self.values.new_zeros(len(self.values), width + 1)
        return latents.scatter(1, places, self.values)[:, :width]


@dataclass(frozen=True, eq=False)
class TopLatents(Rule):
    """relu of the k highest of each frame, of all latents; with `by_magnitude` the k farthest from 0, as they are.

    scale  Wx + b is multiplied by it before the latents of a frame are compared; None: it is not

    Which are the k highest shows only when all parts have been seen. A running list of a frame's k highest goes
    through them once: the encoder is multiplied once, and exactly k are kept, as without parts.
    """

    bias: Tensor
    k: int
    scale: Tensor | None = None
    by_magnitude: bool = False

    @property
    def kind(self) -> str:
        """In words."""
        return f"abstopk of {self.k}" if self.by_magnitude else f"topk of {self.k}"

    def keep(self, outputs: Iterable[tuple[slice, Float[Tensor, "frame part"]]]) -> Kept:
        """The k highest of each frame over all parts."""
        kept: Kept | None = None
        for part, output in outputs:
            values = output + self.bias[part]
            values = values if self.scale is None else values * self.scale[part]
            kept = self._joined(kept, self._best_of(values, part.start))
        assert kept is not None
        return kept if self.by_magnitude else Kept(kept.values.relu(), kept.indices)

    def _best_of(self, values: Float[Tensor, "frame part"], start: int) -> Kept:
        places = self._places(values)
        return Kept(values.gather(1, places), places + start)

    def _joined(self, kept: Kept | None, other: Kept) -> Kept:
        if kept is None:
            return other
        values, indices = (torch.cat(pair, 1) for pair in zip(kept, other, strict=True))
        places = self._places(values)
        return Kept(values.gather(1, places), indices.gather(1, places))

    def _places(self, values: Float[Tensor, "frame candidate"]) -> Int64[Tensor, "frame best"]:
        ranked = values.abs() if self.by_magnitude else values
        return ranked.topk(min(self.k, values.shape[1]), dim=1).indices
