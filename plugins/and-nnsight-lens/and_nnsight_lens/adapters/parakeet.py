"""Parakeet's encoder (a Fast Conformer), alone or in any model that has one: Canary, Cohere's, Nemotron's Omni."""

from __future__ import annotations

from typing import Any

from transformer_lens.model_bridge.generalized_components import MLPBridge
from transformer_lens.model_bridge.generalized_components.base import GeneralizedComponent

from .._inputs import takes_features
from ..components import EncoderAttentionBridge, EncoderBlockBridge, norm, projections, up_and_down
from ._encoder import ComponentMapping, EncoderArchitectureAdapter
from .conformer import HOOKS, STREAM

_PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj")
_FEED_FORWARD = ("linear1", "linear2")


class ParakeetEncoderArchitectureAdapter(EncoderArchitectureAdapter):
    """Convolutions that subsample a spectrogram, then a conformer's blocks: feed_forward1, attn, conv, mlp, ln_out."""

    stream = STREAM

    def _read_model(self, model: Any, prefix: str) -> None:
        """Let the model take its spectrogram by TransformerLens's name."""
        takes_features(model)
        self.cfg.positional_embedding_type = "relative_positional_bias"

    def _prefix(self, model: Any) -> str:
        """The encoder is the model."""
        return ""

    def _build_component_mapping(self, prefix: str) -> ComponentMapping:
        """The subsampling and the blocks; what enters them is its output, scaled."""
        submodules: dict[str, GeneralizedComponent] = {
            "feed_forward1_ln": norm("norm_feed_forward1", self.cfg),
            "feed_forward1": MLPBridge("feed_forward1", self.cfg, up_and_down(*_FEED_FORWARD)),
            "ln1": norm("norm_self_att", self.cfg),
            "attn": EncoderAttentionBridge("self_attn", self.cfg, projections(_PROJECTIONS)),
            "conv_ln": norm("norm_conv", self.cfg),
            "conv": GeneralizedComponent("conv", self.cfg),
            "ln2": norm("norm_feed_forward2", self.cfg),
            "mlp": MLPBridge("feed_forward2", self.cfg, up_and_down(*_FEED_FORWARD)),
            "ln_out": norm("norm_out", self.cfg),
        }
        return {
            "subsampling": GeneralizedComponent(name=f"{prefix}subsampling"),
            "blocks": EncoderBlockBridge(f"{prefix}layers", submodules, HOOKS),
        }

    def setup_hook_compatibility(self, bridge: Any) -> None:
        """Name what enters the first block `hook_embed`: no module returns the scaled frames."""
        super().setup_hook_compatibility(bridge)
        self.embedding_is_at(bridge, "blocks.0.hook_in")
