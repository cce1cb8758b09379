"""Small random composite models, made of the classes of real checkpoints, and their feature extractors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers
from torch import nn

TEXT = {
    "vocab_size": 200, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 2,
}  # fmt: skip
_WHISPER_TOWER = {
    "num_mel_bins": 128, "encoder_layers": 2, "encoder_attention_heads": 2, "encoder_ffn_dim": 64, "d_model": 32,
    "max_source_positions": 1500,
}  # fmt: skip
AUDIO_TOKEN = 150


def qwen2_audio(**text: Any) -> nn.Module:
    """A Qwen2-Audio: Whisper's encoder, which pools at its end, before a Qwen2."""
    config = transformers.Qwen2AudioConfig(
        audio_config={"model_type": "qwen2_audio_encoder", **_WHISPER_TOWER},
        text_config={"model_type": "qwen2", **TEXT, **text},
        audio_token_index=AUDIO_TOKEN,
    )
    torch.manual_seed(0)
    return transformers.Qwen2AudioForConditionalGeneration(config).eval()


def whisper_extractor() -> Any:
    """The feature extractor of the models that have Whisper's encoder."""
    return transformers.WhisperFeatureExtractor(feature_size=128)


def saved(model: Any, extractor: Any, folder: Path, **options: Any) -> str:
    """The folder of a checkpoint of the model and its feature extractor."""
    model.save_pretrained(folder, **options)
    extractor.save_pretrained(folder)
    return str(folder)
