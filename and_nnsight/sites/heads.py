"""Attention heads: where a block's lie side by side, and each as one unit.

What an attention's output projection reads is a head's output beside the next head's. A head as a unit is the norm of
its own part of that tensor: how much it gives, whatever the direction. (Not the norm of what the projection makes of
it: that needs the weights, which a server does not send, and heads that write into one direction are not told apart by
it either.)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float, Shaped
from torch import Tensor, nn

from ..portable import head_norms
from .wrappers import is_linear, unadapted, walk

OUTPUT_PROJECTIONS = (
    "o_proj", "out_proj", "linear_out", "dense", "output_dense", "proj", "c_proj", "wo", "to_out", "post", "out",
)  # fmt: skip
"""What the output projection of an attention is called, where it lies among those of queries, keys and values."""
_SIZES = ("head_dim", "head_size", "attention_head_size", "dim_head")
_COUNTS = ("num_heads", "num_attention_heads", "n_heads", "n_head", "heads", "nhead")
_FUSED = "multi_head_attention_forward"


@dataclass(frozen=True)
class Heads:
    """The heads that lie side by side on a site's last axis: so many, each of so many values.

    With grouped queries, heads are those of the queries: each has its own part of the output.
    """

    count: int
    size: int

    @property
    def width(self) -> int:
        """How many units the site has on which they lie."""
        return self.count * self.size

    @property
    def latents(self) -> int:
        """How many heads there are."""
        return self.count

    def describe(self) -> Mapping[str, Any]:
        """What the manifest says of them."""
        kind = f"norms of {self.count} heads of {self.size}"
        return {"library": "and_nnsight", "kind": kind, "hash": f"heads-{self.count}x{self.size}"}

    def parts(self, activations: Float[Tensor, "*frame width"]) -> Iterator[Float[Tensor, "*frame head"]]:
        """The norm of every head's output, float32, at once."""
        yield head_norms(activations, self.count)

    def encode(self, activations: Float[Tensor, "*frame width"], heads: Sequence[int]) -> Float[Tensor, "*frame head"]:
        """The norms of some heads' outputs, in the order in which they are asked for."""
        return head_norms(activations, self.count)[..., list(heads)]

    def spread(self, of_heads: Shaped[Tensor, "*row head"]) -> Shaped[Tensor, "*row width"]:
        """What is said of each head said of each of its values."""
        return of_heads.repeat_interleave(self.size, -1)


def heads_of(core: nn.Module, width: int) -> Heads | None:
    """How heads divide a tensor of this width, by what the attention says; None where it says nothing that fits."""
    size, count = _whole_number(core, _SIZES), _whole_number(core, _COUNTS)
    if size is None and count is None:
        count = _whole_number(getattr(core, "config", None), _COUNTS)
    if size is None:
        return Heads(count, width // count) if count and width % count == 0 else None
    if width % size or (count is not None and count * size != width):
        return None
    return Heads(width // size, size)


def output_projection(block: nn.Module, core: str) -> tuple[str, nn.Module] | None:
    """Name within the block, and the linear layer, that an attention ends in; `core` holds queries, keys and values.

    It lies in the core, or beside it (BERT's layout). None where no module is called for it: torch's own attention and
    others that hand its weights to a fused call; and where an attention says (`projects_frames_first`) that clips stand
    on another axis there than the first.
    """
    attention = next(module for name, _, module in walk(block) if name == core)
    turned = getattr(attention, "projects_frames_first", False)
    if turned or isinstance(unadapted(attention), nn.MultiheadAttention) or _hands_weights_over(attention):
        return None
    return _called_so(block, f"{core}.") or _beside(block, core)


def _called_so(block: nn.Module, inside: str) -> tuple[str, nn.Module] | None:
    """The last linear layer in a module of the block that is called as output projections are."""
    named = [
        (name, module)
        for name, _, module in walk(block)
        if name.startswith(inside) and is_linear(module) and _is_output(name.removeprefix(inside))
    ]
    return named[-1] if named else None


def _beside(block: nn.Module, core: str) -> tuple[str, nn.Module] | None:
    parent, _, _ = core.rpartition(".")
    return _called_so(block, f"{parent}.") if parent else None


def _is_output(name: str) -> bool:
    return any(part in OUTPUT_PROJECTIONS for part in name.split("."))


def _hands_weights_over(attention: nn.Module) -> bool:
    """Whether a method of the module's class calls torch's attention with the weights of all its projections."""
    methods = (value for kind in type(attention).__mro__ if kind is not nn.Module for value in vars(kind).values())
    codes = (getattr(method, "__code__", None) for method in methods)
    return any(_FUSED in code.co_names for code in codes if code is not None)


def _whole_number(owner: Any, names: Sequence[str]) -> int | None:
    values = (getattr(owner, name, None) for name in names)
    return next((value for value in values if isinstance(value, int) and value > 0), None)
