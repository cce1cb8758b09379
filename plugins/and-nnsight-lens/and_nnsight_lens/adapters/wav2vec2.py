"""Wav2Vec2 and the encoders built like it: HuBERT, UniSpeech, UniSpeech-SAT, SEW, Data2Vec-Audio.

Two layouts of the block exist. Base models put the norm after each sum (post-norm), large ones before each branch
(`do_stable_layer_norm`). TransformerLens's own HuBERT and Wav2Vec2 adapters read both as pre-norm.
"""

from __future__ import annotations

from typing import Any

from torch import nn
from transformer_lens.model_bridge.generalized_components import MLPBridge
from transformer_lens.model_bridge.generalized_components.audio_feature_extractor import AudioFeatureExtractorBridge
from transformer_lens.model_bridge.generalized_components.base import GeneralizedComponent
from transformer_lens.model_bridge.generalized_components.conv_pos_embed import ConvPosEmbedBridge

from ..components import (
    EncoderAttentionBridge,
    EncoderBlockBridge,
    FeedForwardBridge,
    WrittenToBridge,
    norm,
    projections,
    up_and_down,
)
from ..residual import Stream
from ._encoder import ComponentMapping, EncoderArchitectureAdapter

_PROJECTIONS = ("q_proj", "k_proj", "v_proj", "out_proj")
# Post-norm: ln1 follows the attention's sum and ln2 the MLP's, so the stream between the two sums enters ln1.
_POST_NORM: dict[str, str | None] = {"hook_resid_mid": "ln1.hook_in", "hook_mlp_out": "mlp.out.hook_out"}
_PRE_NORM: dict[str, str | None] = {"hook_mlp_out": "mlp.out.hook_out"}
_NORMALISED = Stream("each of its post-norm blocks normalises the stream that it passes on", norms_come_first=False)


class Wav2Vec2ArchitectureAdapter(EncoderArchitectureAdapter):
    """Bare encoders, and encoders with a CTC or a classification head."""

    attention: type[EncoderAttentionBridge] = EncoderAttentionBridge

    def _read_config(self) -> None:
        """Which layout the blocks have; whether there is a projection and an adapter, only the model tells."""
        self.cfg.positional_embedding_type = "conv"
        self._projects, self._adapts = True, False
        self._take_layout(bool(getattr(self.cfg, "do_stable_layer_norm", False)))

    def _read_model(self, model: nn.Module, prefix: str) -> None:
        """The model has the last word: not all configs name the layout."""
        self.frames_enter = f"{prefix}encoder"
        encoder: Any = model.get_submodule(self.frames_enter)
        # SEW projects only where the widths differ.
        self._projects = "feature_projection" in dict(model.get_submodule(prefix.removesuffix(".")).named_children())
        self._adapts = getattr(encoder.layers[0], "adapter_layer", None) is not None
        self._take_layout(type(encoder).__name__.endswith("StableLayerNorm"))

    def _take_layout(self, pre_norm: bool) -> None:
        self.pre_norm = self.supports_fold_ln = pre_norm
        self.stream = Stream() if pre_norm else _NORMALISED
        self.cfg.post_embedding_ln = not pre_norm

    def _build_component_mapping(self, prefix: str) -> ComponentMapping:
        """Convolutions over the waveform, then blocks; the encoder's norm is before post-norm ones, behind others."""
        encoder_norm = "ln_final" if self.pre_norm else "embed_ln"
        found: ComponentMapping = {
            "audio_feature_extractor": AudioFeatureExtractorBridge(name=f"{prefix}feature_extractor"),
            "feat_proj": WrittenToBridge(name=f"{prefix}feature_projection"),
            "conv_pos_embed": ConvPosEmbedBridge(name=f"{prefix}encoder.pos_conv_embed"),
            encoder_norm: norm(f"{prefix}encoder.layer_norm", self.cfg),
            "embed": GeneralizedComponent(name=f"{prefix}encoder.dropout"),
            "blocks": self._block(f"{prefix}encoder.layers"),
        }
        if not self._projects:
            del found["feat_proj"]
        return found

    def setup_hook_compatibility(self, bridge: Any) -> None:
        """Let `hook_embed` name what enters the first block, where TransformerLens prefers `embed_ln`."""
        super().setup_hook_compatibility(bridge)
        self.embedding_is_at(bridge, "embed.hook_out")

    def _block(self, path: str) -> EncoderBlockBridge:
        submodules: dict[str, GeneralizedComponent] = {
            "ln1": norm("layer_norm", self.cfg),
            "attn": self.attention("attention", self.cfg, projections(_PROJECTIONS)),
            "mlp": MLPBridge("feed_forward", self.cfg, up_and_down("intermediate_dense", "output_dense")),
            "ln2": norm("final_layer_norm", self.cfg),
        }
        if self._adapts:
            adapter = up_and_down("linear_1", "linear_2")
            submodules["adapter_layer"] = FeedForwardBridge("adapter_layer", self.cfg, adapter)
        hooks = _PRE_NORM if self.pre_norm else _POST_NORM
        return EncoderBlockBridge(path, submodules, hooks, mlp_reads_resid_directly=not self.pre_norm)
