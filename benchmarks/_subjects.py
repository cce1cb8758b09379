"""Models with random weights in the geometry of real ones, bare and under nnsight."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import (
    ASTConfig,
    ASTFeatureExtractor,
    ASTForAudioClassification,
    PreTrainedConfig,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForAudioClassification,
)

from and_nnsight import AudioModel
from and_nnsight.demo.train import tiny_config
from and_nnsight.model.features import Features
from and_nnsight.sites.site import Site


def _ast_base() -> ASTConfig:
    """AST-base, with as many labels as ESC-50: 55,346 units at the "paper" sites."""
    config = ASTConfig()
    config.num_labels = 50
    return config


def _whisper_small() -> WhisperConfig:
    """Whisper-small's encoder: 1,500 frames, 55,300 units at the "paper" sites."""
    size: dict[str, Any] = {
        "d_model": 768,
        "encoder_layers": 12,
        "encoder_attention_heads": 12,
        "encoder_ffn_dim": 3_072,
    }
    return WhisperConfig(**size, decoder_layers=1, decoder_attention_heads=12, decoder_ffn_dim=3_072)


GEOMETRIES: dict[str, Callable[[], PreTrainedConfig]] = {
    "ast-base": _ast_base,
    "tiny": tiny_config,
    "whisper-small": _whisper_small,
}


@dataclass(frozen=True)
class Subject:
    """A model with random weights: one copy that nnsight never sees, one under nnsight, and the sites of both."""

    bare: nn.Module
    model: AudioModel
    sites: tuple[Site, ...]
    device: torch.device

    @property
    def widths(self) -> dict[str, int]:
        """Units of each site."""
        return {site.name: site.width for site in self.sites}

    @property
    def seconds(self) -> float:
        """The length of a clip that fills the model's window, so that every frame counts."""
        return self.model.featuriser.window_seconds or 1.0

    def features(self, clips: int) -> Features:
        """Random model inputs on the device, in the model's dtype."""
        config: Any = self.bare.config
        weight = next(self.bare.parameters())
        if isinstance(config, WhisperConfig):
            name, shape = "input_features", (clips, int(config.num_mel_bins), 2 * int(config.max_source_positions))
        else:
            name, shape = "input_values", (clips, int(config.max_length), int(config.num_mel_bins))
        return {name: torch.randn(shape, device=self.device, dtype=weight.dtype)}


def make_subject(config: PreTrainedConfig, device: torch.device, dtype: torch.dtype = torch.float32) -> Subject:
    """A classifier of this geometry with random weights, and its "paper" sites."""
    torch.manual_seed(0)
    if isinstance(config, WhisperConfig):
        made: nn.Module = WhisperForAudioClassification(config)
        extractor: Any = WhisperFeatureExtractor(feature_size=config.num_mel_bins)
    else:
        sizes: Any = config
        made = ASTForAudioClassification(sizes)
        extractor = ASTFeatureExtractor(num_mel_bins=sizes.num_mel_bins, max_length=sizes.max_length)
    bare = nn.Module.to(made.eval(), device, dtype)
    model = AudioModel(copy.deepcopy(bare), feature_extractor=extractor)
    return Subject(bare, model, model.sites("paper"), device)
