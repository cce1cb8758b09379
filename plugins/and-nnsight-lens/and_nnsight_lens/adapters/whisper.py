"""Whisper's encoder, in any Whisper class. The decoder is not bridged: where there is one, it runs for one token."""

from __future__ import annotations

from typing import Any

from torch import nn
from transformer_lens.model_bridge.generalized_components.base import GeneralizedComponent

from .._inputs import takes_features
from ..components import BlockMLPBridge, EncoderAttentionBridge, EncoderBlockBridge, norm, projections
from ._encoder import ComponentMapping, EncoderArchitectureAdapter


class WhisperEncoderArchitectureAdapter(EncoderArchitectureAdapter):
    """Two convolutions over the spectrogram, learnt or sinusoidal positions, pre-norm blocks."""

    def _read_config(self) -> None:
        """The encoder's own sizes: the config's plain names may be the decoder's."""
        self.cfg.n_layers = getattr(self.cfg, "encoder_layers", None) or self.cfg.n_layers
        self.cfg.n_heads = getattr(self.cfg, "encoder_attention_heads", None) or self.cfg.n_heads
        self.cfg.d_head = self.cfg.d_model // self.cfg.n_heads

    def _read_model(self, model: Any, prefix: str) -> None:
        """The positions that there are; and let the model take its spectrogram by TransformerLens's name."""
        takes_features(model)
        self.cfg.n_ctx = model.get_submodule(prefix.removesuffix(".")).max_source_positions

    def _prefix(self, model: nn.Module) -> str:
        """The encoder lies in `model.encoder`, in `encoder`, or is the model."""
        children = dict(model.named_children())
        if "model" in children:
            return "model.encoder."
        return "encoder." if "encoder" in children else ""

    def _build_component_mapping(self, prefix: str) -> ComponentMapping:
        """Pre-norm blocks; the feed-forward's layers lie on the block itself."""
        attention = projections(["q_proj", "k_proj", "v_proj", "out_proj"])
        submodules = {
            "ln1": norm("self_attn_layer_norm", self.cfg),
            "attn": EncoderAttentionBridge("self_attn", self.cfg, attention),
            "ln2": norm("final_layer_norm", self.cfg),
            "mlp": BlockMLPBridge(self.cfg, "fc1", "fc2"),
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
