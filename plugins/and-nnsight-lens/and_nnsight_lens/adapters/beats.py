"""BEATs, as and-nnsight-beats has it: SpeechBrain's blocks with clips on the first axis."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformer_lens.model_bridge.generalized_components import LinearBridge, UnembeddingBridge
from transformer_lens.model_bridge.generalized_components.base import GeneralizedComponent

from .._attention_weights import AttentionWeightHooks
from ..components import BlockMLPBridge, EncoderAttentionBridge, EncoderBlockBridge, norm
from ..residual import Stream
from ._encoder import ComponentMapping, EncoderArchitectureAdapter

# Post-norm with weighted sums: resid_pre · alpha + attn_out enters ln1, ln1's output · alpha + mlp_out enters ln2.
_HOOKS: dict[str, str | None] = {"hook_resid_mid": "ln1.hook_in", "hook_mlp_out": "mlp.out.hook_out"}


class TimeFirstLinearBridge(LinearBridge):
    """A projection inside BEATs's attention, which is time-first: its hooks see [clip, patch, …] all the same."""

    def forward(self, input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """[patch, clip, unit] to [patch, clip, unit], computed as without the bridge, to the last bit."""
        projection: Any = self.original_component
        # In the memory layout of the input, on which the last bit depends.
        entering = torch.empty_like(input).copy_(self.hook_in(input.transpose(0, 1)).transpose(0, 1))
        output = self.hook_out(projection(entering, *args, **kwargs).transpose(0, 1))
        # Cloned: the attention scales its queries in place, and what a hook has kept must stay.
        return output.transpose(0, 1).clone()


class BEATsAttentionBridge(EncoderAttentionBridge):
    """BEATs's attention. It adds gated relative positions to its scores, so that `hook_attn_scores` has them."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """As blocks call it: by keyword, and with the queries once more as keys and values."""
        if "query" in kwargs:
            args = (kwargs.pop("query"), *args)
        return super().forward(*args, **kwargs)

    def _attend(self, *args: Any, **kwargs: Any) -> Any:
        attention: Any = self.original_component
        with AttentionWeightHooks(self.hook_attn_scores, self.hook_pattern, attention.num_heads):
            return attention(*args, **kwargs)


class BEATsBlockBridge(EncoderBlockBridge):
    """A block whose MLP is no module of its own: what enters it is what enters its first layer."""

    def _maybe_wire_capture_hooks(self) -> None:
        if self._capture_hooks_wired:
            return
        super()._maybe_wire_capture_hooks()
        up: Any = self.submodules["mlp"].submodules["in"]

        def enter(module: nn.Module, args: Any) -> Any:
            return (self.hook_mlp_in(args[0]), *args[1:]) if self._read_use_hook_mlp_in() else None

        self._capture_hook_handles.append(up.register_forward_pre_hook(enter))


class BEATsArchitectureAdapter(EncoderArchitectureAdapter):
    """BEATs, bare or with a class head."""

    stream = Stream("its post-norm blocks weight and normalise the stream that they pass on", norms_come_first=False)

    def _read_config(self) -> None:
        """What the config of a BEATs does not say."""
        self.cfg.act_fn = "gelu"
        self.cfg.positional_embedding_type = "conv"
        self.cfg.post_embedding_ln = True
        self._projects, self._classes = True, 0

    def _read_model(self, model: Any, prefix: str) -> None:
        """Whether there is a projection, and a class head."""
        self._projects = model.post_extract_proj is not None
        if isinstance(model.predictor, nn.Linear):
            self._classes = model.predictor.out_features

    def _build_component_mapping(self, prefix: str) -> ComponentMapping:
        """Patches, a convolution for positions, and post-norm blocks."""
        attention: dict[str, GeneralizedComponent] = {
            part: TimeFirstLinearBridge(name=name)
            for part, name in zip("qkvo", ("q_proj", "k_proj", "v_proj", "out_proj"), strict=True)
        }
        submodules: dict[str, GeneralizedComponent] = {
            "ln1": norm("self_attn_layer_norm", self.cfg),
            "attn": BEATsAttentionBridge("self_attn", self.cfg, attention),
            "mlp": BlockMLPBridge(self.cfg, "fc1", "fc2"),
            "ln2": norm("final_layer_norm", self.cfg),
        }
        found: ComponentMapping = {
            "patch_embed": GeneralizedComponent(name="patch_embedding"),
            "patch_ln": norm("layer_norm", self.cfg),
            "conv_pos_embed": GeneralizedComponent(name="encoder.pos_conv"),
            "embed_ln": norm("encoder.layer_norm", self.cfg),
            "blocks": BEATsBlockBridge("encoder.layers", submodules, _HOOKS, mlp_reads_resid_directly=True),
        }
        if self._projects:
            found["feat_proj"] = LinearBridge(name="post_extract_proj")
        if self._classes:
            found["unembed"] = UnembeddingBridge(name="predictor")
            self.cfg.d_vocab = self.cfg.d_vocab_out = self._classes
        return found
