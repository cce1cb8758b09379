"""Tiny random models of every family that the package names, with the feature extractor each is fed by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import transformers as tf
from torch import nn

WIDTH, INNER, LAYERS, LABELS = 32, 64, 2, 5
_CONV = {
    "hidden_size": WIDTH,
    "intermediate_size": INNER,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "conv_dim": (16, 16, 16, 16, 16, 16, 16),
    "conv_stride": (5, 2, 2, 2, 2, 2, 2),
    "conv_kernel": (10, 3, 3, 3, 3, 2, 2),
    "num_feat_extract_layers": 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
    "num_labels": LABELS,
    "vocab_size": 12,
    "classifier_proj_size": 24,
}
_POST = {**_CONV, "feat_extract_norm": "group", "do_stable_layer_norm": False}
_PRE = {**_CONV, "feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True}


@dataclass(frozen=True)
class Family:
    """How to build one: `build()` gives the module, `extractor()` its feature extractor."""

    name: str
    build: Callable[[], nn.Module]
    extractor: Callable[[], Any]
    head: int | None = None
    per_frame_head: bool = False


def seeded(build: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
    def seeded() -> nn.Module:
        torch.manual_seed(0)
        module = build().eval()
        for name, parameter in module.named_parameters():
            # Fresh biases and norms are zeros and ones, under which several mistakes cannot be told apart.
            if parameter.ndim == 1 and "token" not in name:
                parameter.data += 0.1 * torch.randn_like(parameter)
        return module

    return seeded


def _wave(masked: bool = False) -> Callable[[], Any]:
    return lambda: tf.Wav2Vec2FeatureExtractor(return_attention_mask=masked)


def ast_config(**options: Any) -> Any:
    """A tiny AST over two seconds of sound."""
    defaults = {
        "hidden_size": WIDTH,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": 4,
        "intermediate_size": INNER,
        "max_length": 208,
        "num_mel_bins": 64,
        "num_labels": LABELS,
    }
    return tf.ASTConfig(**{**defaults, **options})


def ast_extractor() -> Any:
    """AST's extractor for `ast_config`."""
    return tf.ASTFeatureExtractor(num_mel_bins=64, max_length=208)


def whisper_config(**options: Any) -> Any:
    """A tiny Whisper that hears two seconds."""
    defaults = {
        "d_model": WIDTH,
        "encoder_layers": LAYERS,
        "decoder_layers": 1,
        "encoder_attention_heads": 4,
        "decoder_attention_heads": 4,
        "encoder_ffn_dim": INNER,
        "decoder_ffn_dim": INNER,
        "num_mel_bins": 20,
        "max_source_positions": 100,
        "vocab_size": 60,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "decoder_start_token_id": 3,
        "classifier_proj_size": 24,
        "num_labels": LABELS,
    }
    return tf.WhisperConfig(**{**defaults, **options})


def whisper_extractor() -> Any:
    """Whisper's extractor for `whisper_config`."""
    return tf.WhisperFeatureExtractor(feature_size=20, chunk_length=2)


def _clap_config() -> Any:
    audio = {
        "spec_size": 64,
        "num_mel_bins": 16,
        "patch_size": 4,
        "patch_stride": (4, 4),
        "window_size": 4,
        "depths": [2, 2],
        "num_attention_heads": [2, 4],
        "patch_embeds_hidden_size": 16,
        "hidden_size": 32,
        "enable_fusion": False,
        "num_hidden_layers": 2,
        "projection_dim": 8,
    }
    text = {
        "hidden_size": 16,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "vocab_size": 50,
    }
    return tf.ClapConfig(audio_config=audio, text_config={**text, "projection_dim": 8}, projection_dim=8)


def clap_extractor() -> Any:
    """CLAP's extractor for the tiny config: two seconds at 48 kHz, 16 mel bins; 201 frames for 256 columns."""
    return tf.ClapFeatureExtractor(feature_size=16, max_length_s=2, truncation="rand_trunc")


def _bert() -> Any:
    return tf.Wav2Vec2BertConfig(
        hidden_size=WIDTH,
        intermediate_size=INNER,
        num_hidden_layers=LAYERS,
        num_attention_heads=4,
        feature_projection_input_dim=32,
        num_labels=LABELS,
        vocab_size=12,
        classifier_proj_size=24,
    )


def _bert_extractor() -> Any:
    return tf.SeamlessM4TFeatureExtractor(feature_size=16, num_mel_bins=16)


_SEWD = {
    **{k: v for k, v in _CONV.items() if k not in ("classifier_proj_size",)},
    "squeeze_factor": 2,
    "max_position_embeddings": 64,
    "position_buckets": 32,
    "share_att_key": True,
    "relative_attention": True,
    "pos_att_type": ("p2c", "c2p"),
    "feat_extract_norm": "group",
}

_ALL = [
    Family("ast", lambda: tf.ASTForAudioClassification(ast_config()), ast_extractor, LABELS),
    Family("ast-bare", lambda: tf.ASTModel(ast_config()), ast_extractor),
    Family("whisper", lambda: tf.WhisperModel(whisper_config()), whisper_extractor),
    Family("whisper-generate", lambda: tf.WhisperForConditionalGeneration(whisper_config()), whisper_extractor),
    Family("whisper-classify", lambda: tf.WhisperForAudioClassification(whisper_config()), whisper_extractor, LABELS),
    Family("whisper-encoder", lambda: tf.WhisperModel(whisper_config()).get_encoder(), whisper_extractor),
    Family("hubert-post", lambda: tf.HubertModel(tf.HubertConfig(**_POST)), _wave()),
    Family("hubert-pre", lambda: tf.HubertForSequenceClassification(tf.HubertConfig(**_PRE)), _wave(True), LABELS),
    Family("wav2vec2-post", lambda: tf.Wav2Vec2ForSequenceClassification(tf.Wav2Vec2Config(**_POST)), _wave(), LABELS),
    Family("wav2vec2-pre", lambda: tf.Wav2Vec2Model(tf.Wav2Vec2Config(**_PRE)), _wave(True)),
    Family("wav2vec2-ctc", lambda: tf.Wav2Vec2ForCTC(tf.Wav2Vec2Config(**_PRE)), _wave(True), 12, True),
    Family("wav2vec2-adapters", lambda: tf.Wav2Vec2Model(tf.Wav2Vec2Config(**_PRE, adapter_attn_dim=8)), _wave(True)),
    Family("wavlm-post", lambda: tf.WavLMForSequenceClassification(tf.WavLMConfig(**_POST)), _wave(), LABELS),
    Family("wavlm-pre", lambda: tf.WavLMModel(tf.WavLMConfig(**_PRE)), _wave(True)),
    Family("wav2vec2-bert", lambda: tf.Wav2Vec2BertForSequenceClassification(_bert()), _bert_extractor, LABELS),
    Family(
        "wav2vec2-conformer",
        lambda: tf.Wav2Vec2ConformerForSequenceClassification(
            tf.Wav2Vec2ConformerConfig(**_PRE, conv_depthwise_kernel_size=5)
        ),
        _wave(True),
        LABELS,
    ),
    Family("unispeech", lambda: tf.UniSpeechForSequenceClassification(tf.UniSpeechConfig(**_POST)), _wave(), LABELS),
    Family("unispeech-sat", lambda: tf.UniSpeechSatModel(tf.UniSpeechSatConfig(**_PRE)), _wave(True)),
    Family("sew", lambda: tf.SEWForSequenceClassification(tf.SEWConfig(**_POST, squeeze_factor=2)), _wave(), LABELS),
    Family("sew-d", lambda: tf.SEWDForSequenceClassification(tf.SEWDConfig(**_SEWD)), _wave(), LABELS),
    Family(
        "data2vec",
        lambda: tf.Data2VecAudioForSequenceClassification(
            tf.Data2VecAudioConfig(**{**_CONV, "num_conv_pos_embeddings": 3, "conv_pos_kernel_size": 5})
        ),
        _wave(True),
        LABELS,
    ),
    Family("clap-audio", lambda: tf.ClapAudioModelWithProjection(_clap_config().audio_config), clap_extractor),
    Family("clap", lambda: tf.ClapModel(_clap_config()), clap_extractor),
]
FAMILIES = {family.name: replace(family, build=seeded(family.build)) for family in _ALL}


def save_ast(folder: Path) -> Path:
    """The AST of these tests as a checkpoint."""
    FAMILIES["ast"].build().save_pretrained(folder)
    ast_extractor().save_pretrained(folder)
    return folder
