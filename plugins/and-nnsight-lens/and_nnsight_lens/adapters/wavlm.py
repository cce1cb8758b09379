"""WavLM: Wav2Vec2's layout around an attention with gated relative positions."""

from __future__ import annotations

from .._wavlm_attention import WavLMAttentionBridge
from .wav2vec2 import Wav2Vec2Adapter


class WavLMAdapter(Wav2Vec2Adapter):
    """WavLMModel and its heads."""

    attention = WavLMAttentionBridge
