"""Wav2Vec2-BERT and Wav2Vec2-Conformer: half a feed-forward, attention, a convolution, half a feed-forward, a norm."""

from __future__ import annotations

from torch import nn
from transformer_lens.model_bridge.generalized_components import MLPBridge
from transformer_lens.model_bridge.generalized_components.audio_feature_extractor import AudioFeatureExtractorBridge
from transformer_lens.model_bridge.generalized_components.base import GeneralizedComponent

from .._inputs import takes_features
from ..components import EncoderAttentionBridge, EncoderBlockBridge, norm, projections, up_and_down
from ._encoder import ComponentMapping, EncoderAdapter

_PROJECTIONS = ("linear_q", "linear_k", "linear_v", "linear_out")
_FEED_FORWARD = ("intermediate_dense", "output_dense")
# There is no one stream between attention and MLP: the convolution adds to it too.
_HOOKS: dict[str, str | None] = {"hook_resid_mid": None, "hook_mlp_out": "mlp.out.hook_out"}


class ConformerAdapter(EncoderAdapter):
    """Blocks of five steps: ffn1, attn, conv, mlp (the second feed-forward), ln_out.

    resid_pre + ffn1 / 2 enters ln1; + attn_out enters conv; + conv enters ln2; + mlp_out / 2 enters ln_out, whose
    output is resid_post.
    """

    def mapping(self, model: nn.Module, prefix: str) -> ComponentMapping:
        """The front end, which hears a waveform or a spectrogram, and the blocks."""
        takes_features(model)
        children = dict(model.get_submodule(prefix.removesuffix(".")).named_children())
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
            "feat_proj": GeneralizedComponent(name=f"{prefix}feature_projection"),
            "embed": GeneralizedComponent(name=f"{prefix}encoder.dropout"),
            "blocks": EncoderBlockBridge(f"{prefix}encoder.layers", submodules, _HOOKS),
        }
        if "feature_extractor" in children:
            found["audio_feature_extractor"] = AudioFeatureExtractorBridge(name=f"{prefix}feature_extractor")
        if "layer_norm" in dict(model.get_submodule(f"{prefix}encoder").named_children()):
            found["ln_final"] = norm(f"{prefix}encoder.layer_norm", self.cfg)
        return found
