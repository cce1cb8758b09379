"""Tiny encoders that other models hold: towers that are built as Whisper's is, and Parakeet's."""

from __future__ import annotations

from typing import Any

import transformers as tf
from tests.families import INNER, LAYERS, WIDTH, Family, seeded, whisper_extractor

_SIZES = {"num_mel_bins": 20, "max_source_positions": 100}
_WHISPERS = {"d_model": WIDTH, "encoder_layers": LAYERS, "encoder_attention_heads": 4, "encoder_ffn_dim": INNER}
_LLAMAS = {"hidden_size": WIDTH, "num_hidden_layers": LAYERS, "num_attention_heads": 4, "intermediate_size": INNER}


def towers() -> list[Family]:
    """A family for each tower, by the name of its config."""
    return [
        Family("qwen2-audio", seeded(lambda: _tower("Qwen2Audio", _WHISPERS)), whisper_extractor),
        Family("audio-flamingo-3", seeded(lambda: _tower("AudioFlamingo3", _LLAMAS)), whisper_extractor),
        Family("voxtral", seeded(lambda: _tower("Voxtral", _LLAMAS)), whisper_extractor),
        Family("parakeet", seeded(_parakeet), lambda: tf.ParakeetFeatureExtractor(feature_size=16)),
    ]


def _parakeet() -> Any:
    sizes = {
        **_LLAMAS,
        "num_key_value_heads": 4,
        "num_mel_bins": 16,
        "subsampling_conv_channels": 8,
        "initializer_range": 0.2,
    }
    return tf.ParakeetEncoder(tf.ParakeetEncoderConfig(**sizes))


def _tower(name: str, sizes: dict[str, int]) -> Any:
    config = getattr(tf, f"{name}EncoderConfig")(**_SIZES, **sizes)
    return getattr(tf, f"{name}Encoder")(config)
