"""What every adapter of an audio encoder has in common."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, cast

from torch import nn
from transformer_lens.model_bridge.architecture_adapter import ArchitectureAdapter
from transformer_lens.model_bridge.generalized_components import UnembeddingBridge

from .._captured_outputs import capture_once
from ..components import WrittenToLinearBridge
from ..encoder_bridge import make_encoder_bridge
from ..residual import Stream

ComponentMapping = dict[str, Any]
NO_LIMIT = 0
"""`cfg.n_ctx` of encoders that take a sound of any length."""


class EncoderArchitectureAdapter(ArchitectureAdapter):
    """Base of the adapters: bidirectional attention, sound in, no tokens.

    Subclasses map the bare encoder in `_build_component_mapping`, from what the config says; `prepare_model` maps once
    more when it has seen the live model, which tells what is nested in what, and sets what the config does not tell.
    """

    supports_generation = False
    supports_causal_loss = False
    supports_compatibility_mode = False
    # Patterns come from hooks inside the attention: no need to keep every layer's matrix for the output.
    supports_hf_output_attentions = False
    stream = Stream()
    # Path of the encoder that frames can be put into behind the front end; None where there are no such frames.
    frames_enter: str | None = None
    # Whether logits are `ln_final` and `unembed` of each position of the stream, and nothing else.
    reads_out_directly = False

    def __init__(self, cfg: Any) -> None:
        super().__init__(cfg)
        self.applicable_phases = []  # of `verify_models`, which plays text
        self.cfg.is_audio_model = True
        self.cfg.normalization_type = "LN"
        self.cfg.attention_dir = "bidirectional"
        self.cfg.default_prepend_bos = self.cfg.tokenizer_prepends_bos = False
        self.cfg.tie_word_embeddings = False
        self.cfg.gated_mlp = False
        self.cfg.attn_only = False
        self.cfg.final_rms = False
        # TransformerLens's defaults and transformers' leftovers speak of tokens: there are none without a head.
        self.cfg.d_vocab = self.cfg.d_vocab_out = -1
        self.cfg.n_ctx = NO_LIMIT
        conversions = self._qkvo_weight_conversions(include_biases=True)
        self.weight_processing_conversions = cast("Any", conversions)  # TransformerLens types it more narrowly
        self._read_config()
        self.component_mapping = self._build_component_mapping("")

    def prepare_model(self, hf_model: Any) -> None:
        """Map the live model: only it tells what is nested in what, and which norm comes where."""
        capture_once(hf_model)
        prefix = self._prefix(hf_model)
        self._read_model(hf_model, prefix)
        self.component_mapping = self._build_component_mapping(prefix)
        if prefix:
            self.component_mapping |= self._head(hf_model)
        self.cfg.d_mlp = self._inner_width(hf_model)

    def setup_hook_compatibility(self, bridge: Any) -> None:
        """Make it an EncoderBridge, and keep `boot_transformers` from asking the hub in vain.

        Without a network it would ask for three quarters of a minute for the feature extractor of a model that is not
        from there. It does so as soon as the bridge is built, if the adapter's config says audio; what the bridge does
        depends on the bridge's.
        """
        make_encoder_bridge(bridge)
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

    def _read_config(self) -> None:
        """Take from the config what the mapping of the bare encoder hangs on."""

    def _read_model(self, model: Any, prefix: str) -> None:
        """Take from the live model what the config does not tell."""

    def _prefix(self, model: nn.Module) -> str:
        """Path of the encoder's model inside a model with a head, ending in a dot; empty for a bare one."""
        name = str(getattr(model, "base_model_prefix", ""))
        return f"{name}." if name and name in dict(model.named_children()) else ""

    def _build_component_mapping(self, prefix: str) -> ComponentMapping:
        """Components of the encoder, whose paths begin with the prefix."""
        raise NotImplementedError(f"{type(self).__name__} is of no family: each says what its components are")

    def _head(self, model: Any) -> ComponentMapping:
        """Components of the head: what projects and what classifies."""
        found: ComponentMapping = {}
        children = dict(model.named_children())
        if isinstance(children.get("projector"), nn.Linear):
            # The name by which TransformerLens knows that logits are not read off the stream itself.
            found["project_out"] = WrittenToLinearBridge(name="projector")
        for name in ("lm_head", "classifier"):
            if isinstance(children.get(name), nn.Linear):
                found["unembed"] = UnembeddingBridge(name=name)
                self.cfg.d_vocab = self.cfg.d_vocab_out = children[name].out_features
        base: Any = children.get(str(getattr(model, "base_model_prefix", "")))
        between = [getattr(base, name, None) for name in ("adapter", "intermediate_ffn")]
        mapped: Any = self.component_mapping
        self.reads_out_directly = "lm_head" in children and "ln_final" in mapped and between == [None, None]
        return found

    def _inner_width(self, model: nn.Module) -> int:
        """How many neurons the MLP of the last block has."""
        mapping: Any = self.component_mapping
        blocks = mapping["blocks"]
        mlp = blocks.submodules["mlp"]
        path = ".".join(filter(None, (mlp.name, mlp.submodules["in"].name)))
        last: Any = list(model.get_submodule(blocks.name).children())[-1]
        return int(last.get_submodule(path).out_features)
