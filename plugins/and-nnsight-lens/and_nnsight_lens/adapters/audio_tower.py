"""Audio towers of language models that are built as Whisper's encoder is: Voxtral, Qwen2-Audio, Audio Flamingo 3."""

from __future__ import annotations

from torch import nn

from ..residual import Stream
from ._encoder import ComponentMapping
from .whisper import WhisperEncoderArchitectureAdapter


class AudioTowerArchitectureAdapter(WhisperEncoderArchitectureAdapter):
    """The tower alone: positions are added as a table, and not looked up in it."""

    def _prefix(self, model: nn.Module) -> str:
        """The tower is the model."""
        return ""

    def _build_component_mapping(self, prefix: str) -> ComponentMapping:
        """Whisper's without `positions`, a module that never runs."""
        components = super()._build_component_mapping(prefix)
        del components["positions"]
        return components


class PooledAudioTowerArchitectureAdapter(AudioTowerArchitectureAdapter):
    """A tower whose last norm is of averages over pairs of frames."""

    stream = Stream(pooled_before_norm=True)
