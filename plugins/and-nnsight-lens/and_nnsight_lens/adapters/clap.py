"""CLAP's audio tower (HTSAT, a Swin transformer): blocks of all stages in one list, numbered through."""

from __future__ import annotations

from typing import Any

from torch import nn
from transformer_lens.model_bridge.generalized_components import LinearBridge
from transformer_lens.model_bridge.generalized_components.base import GeneralizedComponent

from .._inputs import takes_features
from ..components import BlockMLPBridge, EncoderAttentionBridge, EncoderBlockBridge, norm, projections
from ..residual import Stream
from ._encoder import ComponentMapping, EncoderArchitectureAdapter

_ALL_BLOCKS = "blocks"


class ClapAudioArchitectureAdapter(EncoderArchitectureAdapter):
    """Width and length change from stage to stage, and attention sees windows: [clip · window, token, unit].

    `cfg` has room for one width: it holds the last stage's.
    """

    stream = Stream("its width and length change from stage to stage", one_width=False)

    def _prefix(self, model: nn.Module) -> str:
        """The tower lies in `audio_model`, or is the model."""
        return "audio_model." if "audio_model" in dict(model.named_children()) else ""

    def _read_model(self, model: Any, prefix: str) -> None:
        """The stages' blocks are gathered in a list, which is taken apart again once it is bridged."""
        takes_features(model)
        self._stages = f"{prefix}audio_encoder.layers"
        stages = model.get_submodule(self._stages)
        model.add_module(_ALL_BLOCKS, nn.ModuleList([block for stage in stages for block in stage.blocks]))
        self.cfg.n_layers = len(model.get_submodule(_ALL_BLOCKS))
        last: Any = model.get_submodule(_ALL_BLOCKS)[-1]
        self.cfg.n_heads = last.attention.self.num_attention_heads
        self.cfg.d_head = last.attention.self.attention_head_size
        rows, columns = model.get_submodule(f"{prefix}audio_encoder").patch_embed.grid_size
        self.cfg.n_ctx = int(rows) * int(columns)
        self.cfg.positional_embedding_type = "relative_positional_bias"

    def _build_component_mapping(self, prefix: str) -> ComponentMapping:
        """Pre-norm blocks."""
        tower = f"{prefix}audio_encoder."
        submodules: dict[str, GeneralizedComponent] = {
            "ln1": norm("layernorm_before", self.cfg),
            "attn": EncoderAttentionBridge(
                "attention",
                self.cfg,
                projections(["self.query", "self.key", "self.value", "output.dense"]),
            ),
            "ln2": norm("layernorm_after", self.cfg),
            "mlp": BlockMLPBridge(self.cfg, "intermediate.dense", "output.dense"),
        }
        return {
            "embed": GeneralizedComponent(name=f"{tower}patch_embed"),
            "blocks": EncoderBlockBridge(_ALL_BLOCKS, submodules, {}),
            "ln_final": norm(f"{tower}norm", self.cfg),
        }

    def _head(self, model: Any) -> ComponentMapping:
        """The projection into the space that sound and text share."""
        projection = "audio_projection"
        return {
            "projection_in": LinearBridge(name=f"{projection}.linear1"),
            "projection_out": LinearBridge(name=f"{projection}.linear2"),
        }

    def setup_hook_compatibility(self, bridge: Any) -> None:
        """Put the bridged blocks where the stages run them."""
        super().setup_hook_compatibility(bridge)
        model: Any = bridge.original_model
        bridged = iter(bridge.blocks)
        for stage in model.get_submodule(self._stages):
            stage.blocks = nn.ModuleList([next(bridged) for _ in stage.blocks])
        delattr(model, _ALL_BLOCKS)
