"""What every adapter of an audio encoder has in common."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from torch import nn
from transformer_lens.model_bridge.architecture_adapter import ArchitectureAdapter
from transformer_lens.model_bridge.generalized_components import LinearBridge, UnembeddingBridge

ComponentMapping = dict[str, Any]


class EncoderAdapter(ArchitectureAdapter):
    """Base of the adapters: bidirectional attention, sound in, no tokens.

    Subclasses map the encoder in `mapping`; head and prefix are found on the live model.
    """

    supports_generation = False
    supports_causal_loss = False
    supports_compatibility_mode = False
    # Patterns come from hooks inside the attention: no need to keep every layer's matrix for the output.
    supports_hf_output_attentions = False

    def __init__(self, cfg: Any) -> None:
        super().__init__(cfg)
        self.applicable_phases = []  # of `verify_models`, which plays text
        self.cfg.is_audio_model = True
        self.cfg.normalization_type = "LN"
        self.cfg.attention_dir = "bidirectional"
        self.cfg.default_prepend_bos = False
        self.cfg.gated_mlp = False
        self.cfg.attn_only = False
        self.cfg.final_rms = False
        # TransformerLens types the attribute more narrowly than what its own method returns.
        self.weight_processing_conversions = self._qkvo_weight_conversions(include_biases=True)  # type: ignore[assignment]

    def prepare_model(self, hf_model: Any) -> None:
        """Map the live model: only it tells what is nested in what, and which norm comes where."""
        prefix = self.prefix(hf_model)
        self.component_mapping = self.mapping(hf_model, prefix)
        if prefix:
            self.component_mapping |= self.head(hf_model)

    def setup_hook_compatibility(self, bridge: Any) -> None:
        """Keep `boot_transformers` from asking the hub for the feature extractor of a model that is not from there.

        Without a network it would ask for three quarters of a minute. It does so as soon as the bridge is built, if the
        adapter's config says audio; what the bridge does depends on the bridge's.
        """
        origin = str(getattr(bridge.original_model, "name_or_path", "") or "")
        if Path(str(self.cfg.model_name)).is_dir() or (origin and not Path(origin).exists()):
            return
        self.cfg = copy.copy(self.cfg)
        self.cfg.is_audio_model = False

    @staticmethod
    def embedding_is_at(bridge: Any, hook: str) -> None:
        """Let `hook_embed` name the hook point that TransformerLens does not guess."""
        point = bridge._hook_registry[hook]
        bridge.hook_aliases = {**type(bridge).hook_aliases, "hook_embed": hook}
        object.__setattr__(bridge, "hook_embed", point)
        bridge._hook_registry["hook_embed"] = point

    def prefix(self, model: nn.Module) -> str:
        """Path of the encoder's model inside a model with a head, ending in a dot; empty for a bare one."""
        name = str(getattr(model, "base_model_prefix", ""))
        return f"{name}." if name and name in dict(model.named_children()) else ""

    def mapping(self, model: nn.Module, prefix: str) -> ComponentMapping:
        """Components of the encoder."""
        raise NotImplementedError

    def head(self, model: Any) -> ComponentMapping:
        """Components of the head: what projects and what classifies."""
        found: ComponentMapping = {}
        children = dict(model.named_children())
        if isinstance(children.get("projector"), nn.Linear):
            found["projector"] = LinearBridge(name="projector")
        for name in ("lm_head", "classifier"):
            if isinstance(children.get(name), nn.Linear):
                found["unembed"] = UnembeddingBridge(name=name)
                self.cfg.d_vocab = self.cfg.d_vocab_out = children[name].out_features
        return found
