"""Whisper's encoder, in any Whisper class. The decoder is not bridged: where there is one, it runs for one token."""

from __future__ import annotations

from typing import Any

from torch import nn
from transformer_lens.model_bridge.generalized_components import MLPBridge
from transformer_lens.model_bridge.generalized_components.base import GeneralizedComponent

from .._inputs import takes_features
from ..components import EncoderAttentionBridge, EncoderBlockBridge, norm, projections, up_and_down
from ._encoder import ComponentMapping, EncoderAdapter


class WhisperEncoderAdapter(EncoderAdapter):
    """Two convolutions over the spectrogram, learnt or sinusoidal positions, pre-norm blocks."""

    def __init__(self, cfg: Any) -> None:
        super().__init__(cfg)
        self.cfg.d_mlp = cfg.encoder_ffn_dim
        self.cfg.n_layers = cfg.encoder_layers

    def prefix(self, model: nn.Module) -> str:
        """The encoder lies in `model.encoder`, in `encoder`, or is the model."""
        children = dict(model.named_children())
        return "model.encoder." if "model" in children else "encoder." if "encoder" in children else ""

    def mapping(self, model: nn.Module, prefix: str) -> ComponentMapping:
        """Pre-norm blocks; the feed-forward's layers lie on the block itself."""
        takes_features(model)
        encoder: Any = model.get_submodule(prefix.removesuffix("."))
        self.cfg.n_ctx = encoder.max_source_positions
        attention = projections(["q_proj", "k_proj", "v_proj", "out_proj"])
        submodules = {
            "ln1": norm("self_attn_layer_norm", self.cfg),
            "attn": EncoderAttentionBridge("self_attn", self.cfg, attention),
            "ln2": norm("final_layer_norm", self.cfg),
            "mlp": MLPBridge(None, self.cfg, up_and_down("fc1", "fc2")),
        }
        return {
            "conv1": GeneralizedComponent(name=f"{prefix}conv1"),
            "conv2": GeneralizedComponent(name=f"{prefix}conv2"),
            "positions": GeneralizedComponent(name=f"{prefix}embed_positions"),
            "blocks": EncoderBlockBridge(f"{prefix}layers", submodules, {}),
            "ln_final": norm(f"{prefix}layer_norm", self.cfg),
        }

    def setup_hook_compatibility(self, bridge: Any) -> None:
        """Name what enters the first block `hook_embed`: no module returns convolutions plus positions."""
        super().setup_hook_compatibility(bridge)
        self.embedding_is_at(bridge, "blocks.0.hook_in")
