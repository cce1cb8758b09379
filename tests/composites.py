"""Small random composite models, of the classes of real checkpoints, with their feature extractors and how they are run.

Each is a whole: what hears, what reads, and what stands between them. `AUDIO_TOKEN` is what sound stands for in text.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor

AUDIO_TOKEN = 150
TEXT: dict[str, Any] = {
    "vocab_size": 200, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 2, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
_BART_TOWER: dict[str, Any] = {
    "num_mel_bins": 128, "encoder_layers": 2, "encoder_attention_heads": 2, "encoder_ffn_dim": 64, "d_model": 32,
    "max_source_positions": 1500,
}  # fmt: skip
_TOWER: dict[str, Any] = {
    "num_mel_bins": 128, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 2,
    "intermediate_size": 64, "hidden_size": 32, "max_source_positions": 1500,
}  # fmt: skip
_MIMI: dict[str, Any] = {
    "model_type": "mimi", "hidden_size": 32, "num_filters": 4, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 2, "head_dim": 16, "intermediate_size": 64, "codebook_size": 64, "codebook_dim": 16,
    "num_quantizers": 4, "vector_quantization_hidden_dimension": 16, "upsample_groups": 32,
}  # fmt: skip


@dataclass(frozen=True)
class Composite:
    """A kind of composite model.

    make       a model of it, the same each time
    extractor  its feature extractor
    part       the part that hears, and the modules whose outputs are compared, by their paths in it
    run        runs the whole model on the features of one clip
    """

    make: Callable[[], Any]
    extractor: Callable[[], Any]
    part: str
    modules: tuple[str, ...]
    run: Callable[[Any, dict[str, Tensor]], Any]


def _seeded(make: Callable[[], Any]) -> Any:
    torch.manual_seed(0)
    return make().eval()


def qwen2_audio(**text: Any) -> Any:
    """A Qwen2-Audio: Whisper's encoder, which pools at its end, before a Qwen2."""
    config = transformers.Qwen2AudioConfig(
        audio_config={"model_type": "qwen2_audio_encoder", **_BART_TOWER},
        text_config={"model_type": "qwen2", **TEXT, **text},
        audio_token_index=AUDIO_TOKEN,
    )
    return _seeded(lambda: transformers.Qwen2AudioForConditionalGeneration(config))


def whisper_extractor() -> Any:
    """The feature extractor of the models that have Whisper's encoder."""
    return transformers.WhisperFeatureExtractor(feature_size=128)


def _voxtral() -> Any:
    config = transformers.VoxtralConfig(
        audio_config={**_TOWER, "intermediate_size": 128}, text_config={"model_type": "llama", **TEXT},
        audio_token_id=AUDIO_TOKEN,
    )  # fmt: skip
    return _seeded(lambda: transformers.VoxtralForConditionalGeneration(config))


def _audio_flamingo() -> Any:
    config = transformers.AudioFlamingo3Config(
        audio_config=_TOWER, text_config={"model_type": "qwen2", **TEXT}, audio_token_id=AUDIO_TOKEN
    )
    return _seeded(lambda: transformers.AudioFlamingo3ForConditionalGeneration(config))


def _phi4() -> Any:
    config = transformers.Phi4MultimodalConfig(
        **{**TEXT, "eos_token_id": [2]},
        audio_config={
            "hidden_size": 32, "intermediate_size": 48, "num_blocks": 2, "num_attention_heads": 2,
            "ext_pw_out_channel": 32, "depthwise_separable_out_channel": 32, "nemo_conv_channels": 16,
            "audio_token_id": AUDIO_TOKEN,
        },
        vision_config={
            "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 2,
            "image_token_id": AUDIO_TOKEN + 1, "image_size": 28, "patch_size": 14, "crop_size": 28,
        },
    )  # fmt: skip
    return _seeded(lambda: transformers.Phi4MultimodalForCausalLM(config))


def _granite() -> Any:
    config = transformers.GraniteSpeechConfig(
        text_config={"model_type": "granite", **TEXT},
        encoder_config={
            "num_layers": 2, "hidden_dim": 32, "feedforward_mult": 2, "num_heads": 2, "dim_head": 16, "output_dim": 20,
            "context_size": 20, "max_pos_emb": 32,
        },
        projector_config={
            "model_type": "blip_2_qformer", "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2,
            "intermediate_size": 64, "encoder_hidden_size": 32,
        },
        audio_token_index=AUDIO_TOKEN, has_lora_adapter=False,
    )  # fmt: skip
    return _seeded(lambda: transformers.GraniteSpeechForConditionalGeneration(config))


def _gemma4() -> Any:
    config = transformers.Gemma4Config(
        text_config={
            **TEXT, "model_type": "gemma4_text", "head_dim": 16, "global_head_dim": 16,
            "vocab_size_per_layer_input": 200, "hidden_size_per_layer_input": 8,
            "layer_types": ["sliding_attention", "full_attention"],
        },
        audio_config={
            "model_type": "gemma4_audio", "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
            "output_proj_dims": 32,
        },
        audio_token_id=AUDIO_TOKEN,
    )  # fmt: skip
    return _seeded(lambda: transformers.Gemma4ForConditionalGeneration(config))


def _omni() -> Any:
    config = transformers.Qwen2_5OmniThinkerConfig(
        audio_config={"model_type": "qwen2_5_omni_audio_encoder", **_BART_TOWER, "output_dim": 32},
        vision_config={
            "model_type": "qwen2_5_omni_vision_encoder", "depth": 2, "hidden_size": 32, "intermediate_size": 64,
            "num_heads": 2, "out_hidden_size": 32, "fullatt_block_indexes": [1],
        },
        text_config={
            **TEXT, "model_type": "qwen2_5_omni_text",
            "rope_scaling": {"type": "default", "rope_type": "default", "mrope_section": [2, 3, 3]},
        },
        audio_token_index=AUDIO_TOKEN,
    )  # fmt: skip
    return _seeded(lambda: transformers.Qwen2_5OmniThinkerForConditionalGeneration(config))


def _seamless() -> Any:
    sizes: dict[str, Any] = {f"{each}_layers": 2 for each in ("encoder", "decoder", "speech_encoder")}
    sizes |= {f"t2u_{each}_layers": 3 for each in ("encoder", "decoder")}  # deeper than what hears
    heads: dict[str, Any] = {f"{each}_attention_heads": 2 for each in ("encoder", "decoder", "speech_encoder")}
    heads |= {f"t2u_{each}_attention_heads": 2 for each in ("encoder", "decoder")}
    widths: dict[str, Any] = {f"{each}_ffn_dim": 64 for each in ("encoder", "decoder", "t2u_encoder", "t2u_decoder")}
    config = transformers.SeamlessM4TConfig(
        vocab_size=200, t2u_vocab_size=100, hidden_size=32, speech_encoder_intermediate_size=64, unit_embed_dim=16,
        lang_embed_dim=8, spkr_embed_dim=8, upsample_initial_channel=32, unit_hifi_gan_vocab_size=100,
        num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=4, **sizes, **heads, **widths,
    )  # fmt: skip
    return _seeded(lambda: transformers.SeamlessM4TModel(config))


def _csm() -> Any:
    stack: dict[str, Any] = {
        "num_codebooks": 4, "vocab_size": 65, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 16,
    }  # fmt: skip
    config = transformers.CsmConfig(
        **stack, text_vocab_size=200, depth_decoder_config={**stack, "backbone_hidden_size": 32}, codec_config=_MIMI
    )
    return _seeded(lambda: transformers.CsmForConditionalGeneration(config))


def _musicgen() -> Any:
    config = transformers.MusicgenConfig(
        text_encoder={
            "model_type": "t5", "vocab_size": 200, "d_model": 32, "d_ff": 64, "num_layers": 2, "num_heads": 2, "d_kv": 16
        },
        audio_encoder={
            "model_type": "encodec", "hidden_size": 32, "num_filters": 4, "codebook_size": 64, "codebook_dim": 32,
            "num_lstm_layers": 1,
        },
        decoder={
            "model_type": "musicgen_decoder", "vocab_size": 64, "hidden_size": 32, "ffn_dim": 64,
            "num_hidden_layers": 2, "num_attention_heads": 2, "num_codebooks": 4,
        },
    )  # fmt: skip
    return _seeded(lambda: transformers.MusicgenForConditionalGeneration(config))


def _tokens(count: int) -> dict[str, Tensor]:
    tokens = torch.full((1, count), AUDIO_TOKEN)
    return {"input_ids": tokens, "attention_mask": torch.ones_like(tokens)}


def _halved_twice(features: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tokens for what a tower gives that halves the features' frames, and pools pairs."""
    return _tokens(((int(features["attention_mask"].sum()) - 1) // 2 + 1 - 2) // 2 + 1)


def _asked(features: dict[str, Tensor], mask: str) -> dict[str, Tensor]:
    return {**_halved_twice(features), "input_features": features["input_features"], mask: features["attention_mask"]}


def _as_many_tokens_as_said(features: dict[str, Tensor]) -> dict[str, Tensor]:
    return {**_tokens(int(features["audio_embed_sizes"][0])), **features}


def _codec() -> Any:
    return transformers.EncodecFeatureExtractor(sampling_rate=24_000)


_LAYERS = ("layers.0", "layers.1")
COMPOSITES = {
    "qwen2-audio": Composite(
        qwen2_audio, whisper_extractor, "audio_tower", _LAYERS,
        lambda whole, features: whole(**_asked(features, "feature_attention_mask")),
    ),
    "voxtral": Composite(
        _voxtral, whisper_extractor, "audio_tower", _LAYERS,
        lambda whole, features: whole(**_tokens(375), input_features=features["input_features"]),
    ),
    "audio-flamingo-3": Composite(
        _audio_flamingo, whisper_extractor, "audio_tower", _LAYERS,
        lambda whole, features: whole(**_asked(features, "input_features_mask")),
    ),
    "phi-4-multimodal": Composite(
        _phi4, lambda: transformers.Phi4MultimodalFeatureExtractor(), "embed_tokens_extend.audio_embed.encoder",
        ("encoders.0", "encoders.1"), lambda whole, features: whole(**_as_many_tokens_as_said(features)),
    ),
    "granite-speech": Composite(
        _granite, lambda: transformers.GraniteSpeechFeatureExtractor(), "encoder", _LAYERS,
        lambda whole, features: whole(**_as_many_tokens_as_said(features)),
    ),
    "gemma-4": Composite(
        _gemma4, lambda: transformers.Gemma4AudioFeatureExtractor(), "audio_tower", _LAYERS,
        lambda whole, features: whole.model.get_audio_features(**features),
    ),
    "qwen2.5-omni": Composite(
        _omni, whisper_extractor, "audio_tower", _LAYERS,
        lambda whole, features: whole.get_audio_features(features["input_features"], features["attention_mask"]),
    ),
    "seamless-m4t": Composite(
        _seamless, lambda: transformers.SeamlessM4TFeatureExtractor(), "speech_encoder",
        ("encoder.layers.0", "encoder.layers.1"),
        lambda whole, features: whole(**features, decoder_input_ids=torch.tensor([[1]])),
    ),
    "csm": Composite(
        _csm, _codec, "codec_model.encoder", ("encoder_transformer.layers.0", "encoder_transformer.layers.1"),
        lambda whole, features: whole.codec_model.encode(**features),
    ),
    "musicgen": Composite(
        _musicgen, _codec, "audio_encoder", ("encoder.layers.0", "encoder.layers.3"),
        lambda whole, features: whole.audio_encoder.encode(**features),
    ),
}  # fmt: skip


def saved(model: Any, extractor: Any, folder: Path, **options: Any) -> str:
    """The folder of a checkpoint of the model and its feature extractor."""
    model.save_pretrained(folder, **options)
    extractor.save_pretrained(folder)
    return str(folder)
