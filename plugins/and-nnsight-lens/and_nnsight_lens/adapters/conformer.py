"""Wav2Vec2-BERT and Wav2Vec2-Conformer: half a feed-forward, attention, a convolution, half a feed-forward, a norm."""

from __future__ import annotations

from typing import Any

from torch import nn
from transformer_lens.model_bridge.generalized_components import MLPBridge
from transformer_lens.model_bridge.generalized_components.audio_feature_extractor import AudioFeatureExtractorBridge
from transformer_lens.model_bridge.generalized_components.base import GeneralizedComponent

from .._inputs import takes_features
from ..components import (
    EncoderAttentionBridge,
    EncoderBlockBridge,
    WrittenToBridge,
    norm,
    projections,
    up_and_down,
)
from ..residual import Stream
from ._encoder import ComponentMapping, EncoderArchitectureAdapter

_PROJECTIONS = ("linear_q", "linear_k", "linear_v", "linear_out")
_FEED_FORWARD = ("intermediate_dense", "output_dense")
# There is no one stream between attention and MLP: the convolution adds to it too.
HOOKS: dict[str, str | None] = {"hook_resid_mid": None, "hook_mlp_out": "mlp.out.hook_out"}
STREAM = Stream(
    "its blocks add half of two feed-forwards and a convolution, and normalise what they pass on",
    norms_come_first=False,
    whole_mlp=False,
)


class ConformerArchitectureAdapter(EncoderArchitectureAdapter):
    """Blocks of five steps: ffn1, attn, conv, mlp (the second feed-forward), ln_out.

    resid_pre + ffn1 / 2 enters ln1; + attn_out enters conv; + conv enters ln2; + mlp_out / 2 enters ln_out, whose
    output is resid_post.
    """

    stream = STREAM

    def _read_config(self) -> None:
        """Conformer hears a waveform, BERT a spectrogram, and only the former has a norm after the blocks."""
        self._hears_waveform = self._ends_in_norm = bool(getattr(self.cfg, "conv_kernel", None))

    def _read_model(self, model: Any, prefix: str) -> None:
        """The model has the last word; and let it take a spectrogram by TransformerLens's name."""
        takes_features(model)
        self.frames_enter = f"{prefix}encoder"
        self.cfg.positional_embedding_type = _positions(model.config)
        self._hears_waveform = "feature_extractor" in _children(model, prefix)
        self._ends_in_norm = "layer_norm" in _children(model, f"{prefix}encoder")

    def _build_component_mapping(self, prefix: str) -> ComponentMapping:
        """The front end, which hears a waveform or a spectrogram, and the blocks."""
        submodules: dict[str, GeneralizedComponent] = {
            "ffn1_ln": norm("ffn1_layer_norm", self.cfg),
            "ffn1": MLPBridge("ffn1", self.cfg, up_and_down(*_FEED_FORWARD)),
            "ln1": norm("self_attn_layer_norm", self.cfg),
            "attn": EncoderAttentionBridge("self_attn", self.cfg, projections(_PROJECTIONS)),
            "conv": GeneralizedComponent("conv_module", self.cfg),
            "ln2": norm("ffn2_layer_norm", self.cfg),
            "mlp": MLPBridge("ffn2", self.cfg, up_and_down(*_FEED_FORWARD)),
            "ln_out": norm("final_layer_norm", self.cfg),
        }
        found: ComponentMapping = {
            "feat_proj": WrittenToBridge(name=f"{prefix}feature_projection"),
            "embed": GeneralizedComponent(name=f"{prefix}encoder.dropout"),
            "blocks": EncoderBlockBridge(f"{prefix}encoder.layers", submodules, HOOKS),
        }
        if self._hears_waveform:
            found["audio_feature_extractor"] = AudioFeatureExtractorBridge(name=f"{prefix}feature_extractor")
        if self._ends_in_norm:
            found["ln_final"] = norm(f"{prefix}encoder.layer_norm", self.cfg)
        return found


def _positions(config: Any) -> str:
    """TransformerLens's word for how positions enter attention."""
    kind = config.position_embeddings_type
    return {None: "none", "rotary": "rotary"}.get(kind, "relative_positional_bias")


def _children(model: nn.Module, path: str) -> dict[str, nn.Module]:
    return dict(model.get_submodule(path.removesuffix(".")).named_children())
