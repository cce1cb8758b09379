"""Audio Spectrogram Transformer, bare and with its classification head.

TransformerLens's own adapter takes the layer norms apart by hand, holds the pattern under `hook_attn_scores`, and is
not registered for the bare model.
"""

from __future__ import annotations

from typing import Any

from torch import nn
from transformer_lens.model_bridge.generalized_components import MLPBridge, UnembeddingBridge
from transformer_lens.model_bridge.generalized_components.base import GeneralizedComponent

from ..components import EncoderAttentionBridge, EncoderBlockBridge, norm, projections, up_and_down
from ._encoder import ComponentMapping, EncoderArchitectureAdapter


class ASTArchitectureAdapter(EncoderArchitectureAdapter):
    """ASTModel and ASTForAudioClassification. Positions 0 and 1 are the class and the distillation token."""

    def _read_model(self, model: Any, prefix: str) -> None:
        """Positions are learnt, so that there are so many of them."""
        self.cfg.n_ctx = model.get_submodule(prefix.removesuffix(".")).embeddings.position_embeddings.shape[1]

    def _build_component_mapping(self, prefix: str) -> ComponentMapping:
        """Pre-norm blocks over patches."""
        attention = projections(["q_proj", "k_proj", "v_proj", "o_proj"])
        submodules = {
            "ln1": norm("layernorm_before", self.cfg),
            "attn": EncoderAttentionBridge("attention", self.cfg, attention),
            "ln2": norm("layernorm_after", self.cfg),
            "mlp": MLPBridge("mlp", self.cfg, up_and_down("fc1", "fc2")),
        }
        return {
            "embed": GeneralizedComponent(name=f"{prefix}embeddings"),
            "blocks": EncoderBlockBridge(f"{prefix}layers", submodules, {}),
            "ln_final": norm(f"{prefix}layernorm", self.cfg),
        }

    def _head(self, model: Any) -> ComponentMapping:
        """The classifier's own layer norm and its linear layer, over the mean of the two special tokens."""
        classifier = model.classifier
        if not isinstance(classifier.dense, nn.Linear):  # a config without labels has no head
            return {}
        self.cfg.d_vocab = self.cfg.d_vocab_out = classifier.dense.out_features
        return {
            "classifier_ln": norm("classifier.layernorm", self.cfg),
            "unembed": UnembeddingBridge(name="classifier.dense"),
        }
