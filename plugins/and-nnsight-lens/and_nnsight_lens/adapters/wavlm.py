"""WavLM: Wav2Vec2's layout around an attention with gated relative positions."""

from __future__ import annotations

from .._wavlm_attention import WavLMAttentionBridge
from .wav2vec2 import Wav2Vec2ArchitectureAdapter


class WavLMArchitectureAdapter(Wav2Vec2ArchitectureAdapter):
    """WavLMModel and its heads."""

    attention = WavLMAttentionBridge
