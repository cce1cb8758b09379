"""What a config needs beside small numbers: lists that belong together, and sizes that have to agree."""

from __future__ import annotations

from typing import Any

_CLAP_AUDIO = {
    "model_type": "clap_audio_model", "spec_size": 64, "num_mel_bins": 16, "patch_size": 4, "patch_stride": (4, 4),
    "window_size": 4, "depths": [2, 2], "num_attention_heads": [2, 4], "patch_embeds_hidden_size": 16,
    "hidden_size": 32, "enable_fusion": False, "num_hidden_layers": 2, "projection_dim": 8,
}  # fmt: skip
_GEMMA = {"audio_config": {"model_type": "gemma4_audio"}}
_DAC = {"dac_config": {"downsampling_ratios": [2, 8, 10, 12], "hop_length": 1920, "encoder_hidden_size": 4}}
_DEEPER_EARS = {"quantization_dim": 64, "semantic_model_config": {"num_hidden_layers": 3}}
"""As in the checkpoints, what hears is deeper than the decoder, whose depth is the config's."""
_SEAMLESS = {"feature_projection_input_dim": 160}

_WITHOUT_TIMM = {"vision_config": {"model_type": "vit", "num_labels": 32}}

OPTIONS: dict[str, dict[str, Any]] = {
    "clap": {"audio_config": _CLAP_AUDIO, "projection_dim": 8},
    "clap_audio_model": _CLAP_AUDIO,
    "audio-spectrogram-transformer": {"max_length": 208, "num_mel_bins": 64},
    "wav2vec2-bert": _SEAMLESS,
    "seamless_m4t": _SEAMLESS,
    "seamless_m4t_v2": _SEAMLESS,
    "embedding_gemma2": _GEMMA,
    "gemma4": _GEMMA,
    "gemma3n": {"text_config": {"num_kv_shared_layers": 0}},
    "phi4_multimodal": {
        "audio_config": {"nemo_conv_channels": 32, "ext_pw_out_channel": 32, "depthwise_separable_out_channel": 32},
    },
    "xcodec": {
        "acoustic_model_config": {"downsampling_ratios": [8, 5, 4, 2], "encoder_hidden_size": 16},
        "codebook_dim": 64,
    },
    "apertus1p5": {
        "text_config": {"vocab_size": 200},
        "image_token_id": 11,
        "audio_token_id": 12,
        "image_token_offset": 100,
        "audio_token_offset": 132,
    },
    "dots3_note": {
        "vision_config": {"mlp_layer_types": ["dense", "dense"], "adapter_in_dim": 32, "adapter_out_dim": 32},
        "audio_config": {"adapter_input_size": 32, "adapter_out_dim": 32, "initializer_range": 0.1},
        "text_config": {"layer_types": ["indexed_attention", "indexed_attention"]},
    },
    "muse_spark": {"audio_config": {"num_hidden_layers": 4, "hidden_sizes": [8, 8, 8, 8], "out_hidden_size": 32}},
    "nemotron_h_omni": {
        "vision_config": {"video_temporal_patch_size": 2},
        "audio_config": {
            "model_type": "parakeet_encoder",
            "projection_hidden_size": 32,
            "projection_bias": False,
            "initializer_range": 0.2,
        },
    },
    "qwen3_omni_moe": {
        "talker_config": {"spatial_merge_size": 2, "text_config": {"shared_expert_intermediate_size": 64}}
    },
    "higgs_audio_v2_tokenizer": {"acoustic_model_config": {"downsampling_ratios": [8, 5, 4, 2, 3]}},
    "xcodec2": _DEEPER_EARS,
    "neucodec": _DEEPER_EARS,
    "moonshine_streaming": {"num_key_value_heads": 4},
    "mimi": {"vector_quantization_hidden_dimension": 32, "codebook_dim": 32},
    "fun_asr_nano": {"adaptor_config": {"intermediate_size": 8}},
    "dots3_note_audio_encoder": {"adapter_input_size": 32},
    "pe_audio": {"audio_config": _DAC},
    "pe_audio_encoder": _DAC,
    "pe_audio_video": {"audio_video_config": {"audio_config": _DAC, "video_config": _WITHOUT_TIMM}},
    "pe_audio_video_encoder": {"audio_config": _DAC, "video_config": _WITHOUT_TIMM},
    "whisper": {"max_source_positions": 100},
    "sew-d": {"position_buckets": 32, "max_position_embeddings": 64},
}
STAND_INS = {
    "gemma3n": {
        "vision_config": {
            "model_type": "siglip_vision_model",
            "rms_norm_eps": 1e-6,
            "vocab_size": 8,
            "vocab_offset": 91,
        }
    }
}
"""Configs that stand in the place of parts whose classes want a library that is not here."""
EXTRACTORS: dict[str, str] = {
    "moonshine_streaming": "Wav2Vec2FeatureExtractor",
    "musicflamingo": "WhisperFeatureExtractor",
    "nemotron_h_omni": "ParakeetFeatureExtractor",
    "gemma3n_audio": "Gemma3nAudioFeatureExtractor",
    "dots3_note_audio_encoder": "Dots3NoteFeatureExtractor",
    "pe_audio_encoder": "PeAudioFeatureExtractor",
    "pe_audio_video": "PeAudioFeatureExtractor",
    "pe_audio_video_encoder": "PeAudioFeatureExtractor",
    "qwen2_5_omni_thinker": "WhisperFeatureExtractor",
    "qwen3_omni_moe_thinker": "WhisperFeatureExtractor",
    "speech-encoder-decoder": "Wav2Vec2FeatureExtractor",
    "wav2vec2-bert": "SeamlessM4TFeatureExtractor",
    "clap_audio_model": "ClapFeatureExtractor",
}
CLASSES = {"moshi": "MoshiForConditionalGeneration"}
_MEL_80 = {"feature_size": 80}
_MEL_128 = {"feature_size": 128}
EXTRACTOR_OPTIONS: dict[str, dict[str, Any]] = {
    "audio-spectrogram-transformer": {"num_mel_bins": 64, "max_length": 208},
    "clap": {"feature_size": 16, "max_length_s": 2, "truncation": "rand_trunc"},
    "clap_audio_model": {"feature_size": 16, "max_length_s": 2, "truncation": "rand_trunc"},
    "whisper": {"chunk_length": 2},
    "higgs_audio_v2_tokenizer": {"hop_length": 960, "sampling_rate": 24_000},
    "xcodec": {"hop_length": 320, "sampling_rate": 16_000},
    "cohere_asr": _MEL_80,
    "nemotron3_diarization": _MEL_128,
    "nemo_speechlm": _MEL_128,
    "qwen2_audio": _MEL_128,
    "audioflamingo3": _MEL_128,
    "musicflamingo": _MEL_128,
    "glmasr": _MEL_128,
    "voxtral": _MEL_128,
    "qwen2_5_omni": _MEL_128,
    "qwen2_5_omni_thinker": _MEL_128,
    "qwen3_omni_moe": _MEL_128,
    "qwen3_omni_moe_thinker": _MEL_128,
}
