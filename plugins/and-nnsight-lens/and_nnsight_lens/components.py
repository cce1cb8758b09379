"""Bridge components whose hooks all fire, and fire on the tensors that their names say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import nn
from transformer_lens.hook_points import HookPoint
from transformer_lens.model_bridge.generalized_components import (
    AttentionBridge,
    BlockBridge,
    LinearBridge,
    MLPBridge,
    NormalizationBridge,
)
from transformer_lens.model_bridge.generalized_components.base import GeneralizedComponent

from ._attention_weights import AttentionWeightHooks

_NEVER_FIRE = ("hook_hidden_states", "hook_result", "hook_rot_k", "hook_rot_q")
_ABSENT_FROM_BLOCKS = ("hook_attn_in", "hook_q_input", "hook_k_input", "hook_v_input")


class EncoderAttentionBridge(AttentionBridge):
    """Self-attention of an audio encoder: the wrapped module computes, and every hook point here is on its way.

    hook_attn_scores  before the softmax, masks and relative positions added [clip, head, query, key]
    hook_pattern      after the softmax; unlike the plain AttentionBridge's, an edit of either changes the output
    """

    supports_split_qkv_fork = False

    def __init__(self, name: str, config: Any, submodules: Mapping[str, GeneralizedComponent]) -> None:
        super().__init__(name, config, submodules=dict(submodules), is_causal=False)
        for hook in (hook for hook in _NEVER_FIRE if hook in self._hook_registry):
            delattr(self, hook)
            self._hook_registry.pop(hook)
        # The default conversion is for other layouts, and remembers every tensor that passes.
        self.conversion_rule = None
        for point in (self.hook_in, self.hook_out):
            point.hook_conversion = None

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run the wrapped attention with hooks on its input, its weights and its output."""
        if "hidden_states" in kwargs:
            kwargs["hidden_states"] = self.hook_in(kwargs["hidden_states"])
        else:
            args = (self.hook_in(args[0]), *args[1:])
        output = self._attend(*args, **kwargs)
        if isinstance(output, tuple):
            return (self.hook_out(output[0]), *output[1:])
        return self.hook_out(output)

    def _attend(self, *args: Any, **kwargs: Any) -> Any:
        attention: Any = self.original_component
        if not (self._spells_out(attention) or _hooked(self.hook_attn_scores) or _hooked(self.hook_pattern)):
            return attention(*args, **kwargs)
        with AttentionWeightHooks(self.hook_attn_scores, self.hook_pattern):
            return attention(*args, **kwargs)

    def _spells_out(self, attention: Any) -> bool:
        """Whether the wrapped attention takes its softmax itself, so that hooking it costs next to nothing."""
        return getattr(getattr(attention, "config", None), "_attn_implementation", "eager") == "eager"


class BlockMLPBridge(MLPBridge):
    """An MLP whose layers lie on the block itself.

    TransformerLens binds the whole block to it, as a child: the block would stand twice in the module tree, and what
    goes by the tree (transformers' `output_hidden_states`) would take each layer twice. Here the block is referred to.
    """

    def __init__(self, config: Any, up: str, down: str) -> None:
        super().__init__(None, config, submodules=up_and_down(up, down))

    def set_original_component(self, original_component: nn.Module) -> None:
        """Remember the block without taking it for a part of this."""
        self.__dict__["_block"] = original_component

    @property
    def original_component(self) -> nn.Module | None:
        """The block."""
        return self.__dict__.get("_block")


class WrittenToBridge(GeneralizedComponent):
    """A module into whose output the model writes zeros for padding afterwards: what a hook has kept must stay."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """As ever; the model goes on with a copy."""
        output = super().forward(*args, **kwargs)
        return (output[0].clone(), *output[1:]) if isinstance(output, tuple) else output.clone()


class WrittenToLinearBridge(WrittenToBridge, LinearBridge):
    """The same of a linear layer."""


class FeedForwardBridge(GeneralizedComponent):
    """A feed-forward whose projections may lie anywhere inside the wrapped module, behind a norm for example."""

    hook_aliases = {"hook_pre": "in.hook_out", "hook_post": "out.hook_in"}  # noqa: RUF012  # as in TransformerLens


class EncoderBlockBridge(BlockBridge):
    """A block of an audio encoder, with the hook names that are true of its layout and no others."""

    def __init__(
        self,
        name: str,
        submodules: Mapping[str, GeneralizedComponent],
        hooks: Mapping[str, str | None],
        mlp_reads_resid_directly: bool = False,
    ) -> None:
        """`hooks` says where names lie that differ from a pre-norm block's; None: the layout has no such tensor."""
        super().__init__(name, submodules=dict(submodules), mlp_reads_resid_directly=mlp_reads_resid_directly)
        kept = {**self.hook_aliases, **hooks}
        self.hook_aliases = {
            alias: target for alias, target in kept.items() if target is not None and alias not in _ABSENT_FROM_BLOCKS
        }


def norm(name: str, config: Any) -> NormalizationBridge:
    """A layer norm computed by torch itself, to the last bit."""
    return NormalizationBridge(name=name, config=config, use_native_layernorm_autograd=True)


def projections(names: Iterable[str]) -> dict[str, GeneralizedComponent]:
    """Bridges of the query, key, value and output projections, whose names come in this order."""
    return {part: LinearBridge(name=name) for part, name in zip("qkvo", names, strict=True)}


def up_and_down(up: str, down: str) -> dict[str, GeneralizedComponent]:
    """Bridges of a feed-forward's two projections."""
    return {"in": LinearBridge(name=up), "out": LinearBridge(name=down)}


def _hooked(point: HookPoint) -> bool:
    module: nn.Module = point
    return bool(module._forward_hooks or module._backward_hooks)
