"""Small random models that hear and read text, with processors over a tokenizer that is trained here of a few strings."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers as tf
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import nn

from tests.families import whisper_config, whisper_extractor

WIDTH, INNER, LAYERS, HEADS = 48, 96, 2, 4
_TEXTS = ["What do you hear in this sound? Describe it.", "a dog barks twice, then a bell rings"]
_TOWER = {"num_mel_bins": 20, "max_source_positions": 100}
_ENCODER = {"d_model": 32, "encoder_layers": 2, "encoder_attention_heads": 4, "encoder_ffn_dim": 64, **_TOWER}


@dataclass(frozen=True)
class ReaderFamily:
    """How to build one, and what is true of it.

    build     gives the module and its processor
    model     path of the language model
    token     text of the audio token
    hop       seconds from one stretch of audio tokens to the next
    group     audio tokens of a stretch
    gated     whether gate and up are layers of their own
    """

    name: str
    build: Callable[[], tuple[nn.Module, Any]]
    model: str
    token: str
    hop: float
    group: int = 1
    gated: bool = True


def tokenizer(special: Sequence[str], end: str, **options: Any) -> Any:
    """A byte-level tokenizer with these special tokens, the first of which is padding."""
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trained.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=list(special), initial_alphabet=alphabet, show_progress=False
    )
    trained.train_from_iterator(_TEXTS, trainer)
    return tf.PreTrainedTokenizerFast(tokenizer_object=trained, eos_token=end, pad_token=special[0], **options)


def _text(tokens: Any, kind: str = "qwen2") -> dict[str, Any]:
    return {
        "model_type": kind,
        "vocab_size": len(tokens),
        "hidden_size": WIDTH,
        "intermediate_size": INNER,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": 2,
        "bos_token_id": None,
        "eos_token_id": tokens.eos_token_id,
        "pad_token_id": tokens.pad_token_id,
    }


def _seeded(kind: Any, config: Any) -> Any:
    torch.manual_seed(0)
    module = kind(config).eval()
    for parameter in module.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)  # fresh weights make all tokens alike
    return module


def _extractor() -> Any:
    return tf.WhisperFeatureExtractor(feature_size=20, chunk_length=2)


def qwen2_audio() -> tuple[nn.Module, Any]:
    """Qwen2-Audio, whose processor has a chat template."""
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>"]
    tokens = tokenizer(special, "<|im_end|>")
    config = tf.Qwen2AudioConfig(audio_config=_ENCODER, text_config=_text(tokens), audio_token_index=3)
    processor = tf.Qwen2AudioProcessor(_extractor(), tokens)
    return _seeded(tf.Qwen2AudioForConditionalGeneration, config), processor


def audio_flamingo() -> tuple[nn.Module, Any]:
    """Audio Flamingo 3."""
    tokens = tokenizer(["<|endoftext|>", "<|im_end|>", "<sound>"], "<|im_end|>")
    tower = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64, **_TOWER}
    config = tf.AudioFlamingo3Config(audio_config=tower, text_config=_text(tokens), audio_token_id=2)
    processor = tf.AudioFlamingo3Processor(_extractor(), tokens)
    return _seeded(tf.AudioFlamingo3ForConditionalGeneration, config), processor


def granite_speech() -> tuple[nn.Module, Any]:
    """Granite Speech: a conformer and a Q-Former, three tokens a window of 0.3 s."""
    tokens = tokenizer(["<|end_of_text|>", "<|audio|>"], "<|end_of_text|>")
    conformer = {"num_layers": 2, "hidden_dim": 32, "num_heads": 4, "dim_head": 8, "feedforward_mult": 2}
    conformer |= {"conv_kernel_size": 5, "output_dim": 12, "context_size": 40}
    projector = {"model_type": "blip_2_qformer", "hidden_size": 32, "encoder_hidden_size": 32, "num_hidden_layers": 1}
    projector |= {"num_attention_heads": 4, "intermediate_size": 64, "cross_attention_frequency": 1}
    config = tf.GraniteSpeechConfig(
        encoder_config=conformer,
        projector_config=projector,
        text_config=_text(tokens, "granite"),
        audio_token_index=1,
        has_lora_adapter=False,
    )
    processor = tf.GraniteSpeechProcessor(tf.GraniteSpeechFeatureExtractor(), tokens)
    return _seeded(tf.GraniteSpeechForConditionalGeneration, config), processor


def qwen_omni() -> tuple[nn.Module, Any]:
    """The thinker of Qwen2.5-Omni."""
    names = ("image", "audio", "video", "vision_bos", "vision_eos", "audio_bos", "audio_eos")
    named = {f"{name}_token": f"<|{name}|>" for name in names}
    tokens = tokenizer(["<|endoftext|>", "<|im_end|>", *named.values()], "<|im_end|>", extra_special_tokens=named)
    ids = {name: tokens.convert_tokens_to_ids(text) for name, text in named.items()}
    text = _text(tokens, "qwen2_5_omni_text")
    text["rope_parameters"] = {"rope_type": "default", "mrope_section": [2, 2, 2], "rope_theta": 1e4}
    made: Any = tf.Qwen2_5OmniThinkerConfig
    config = made(
        audio_config={**_ENCODER, "n_window": 20, "output_dim": WIDTH},
        vision_config={
            "depth": 1,
            "hidden_size": 32,
            "intermediate_size": 32,
            "num_heads": 2,
            "out_hidden_size": WIDTH,
        },
        text_config=text,
        audio_token_index=ids["audio_token"],
        image_token_index=ids["image_token"],
        video_token_index=ids["video_token"],
        audio_start_token_id=ids["audio_bos_token"],
        audio_end_token_id=ids["audio_eos_token"],
        vision_start_token_id=ids["vision_bos_token"],
        pad_token_id=0,
    )
    processor = _without_eyes(tf.Qwen2_5OmniProcessor)(feature_extractor=_extractor(), tokenizer=tokens)
    return _seeded(tf.Qwen2_5OmniThinkerForConditionalGeneration, config), processor


def phi4() -> tuple[nn.Module, Any]:
    """Phi-4-multimodal, whose gate and up are one layer."""
    named = {"image_token": "<|image|>", "audio_token": "<|audio|>"}
    tokens = tokenizer(["<|endoftext|>", *named.values()], "<|endoftext|>", extra_special_tokens=named)
    conformer = {"hidden_size": 32, "intermediate_size": 64, "num_blocks": 2, "num_attention_heads": 4}
    conformer |= {"nemo_conv_channels": 32, "ext_pw_out_channel": 32, "depthwise_separable_out_channel": 32}
    vision = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    vision |= {"image_size": 28, "patch_size": 14, "crop_size": 28, "image_token_id": 1}
    text = {name: value for name, value in _text(tokens).items() if name != "model_type"}
    config = tf.Phi4MultimodalConfig(
        **{**text, "bos_token_id": 0}, audio_config={**conformer, "audio_token_id": 2}, vision_config=vision
    )
    processor = _without_eyes(tf.Phi4MultimodalProcessor)(None, tf.Phi4MultimodalFeatureExtractor(), tokens)
    return _seeded(tf.Phi4MultimodalForCausalLM, config), processor


_MISTRAL = (
    "<unk> <s> </s> [INST] [/INST] [AVAILABLE_TOOLS] [/AVAILABLE_TOOLS] [TOOL_RESULTS] [/TOOL_RESULTS] [TOOL_CALLS] [IMG] "
    "<pad> [IMG_BREAK] [IMG_END] [PREFIX] [MIDDLE] [SUFFIX] [SYSTEM_PROMPT] [/SYSTEM_PROMPT] [TOOL_CONTENT]"
).split()


def tekken(folder: Path) -> Path:
    """The file of a tokenizer of mistral-common's over bytes alone, with Voxtral's special tokens where they are."""
    ranks = dict(enumerate(_MISTRAL)) | {24: "[AUDIO]", 25: "[BEGIN_AUDIO]", 34: "[TRANSCRIBE]"}
    special = [
        {"rank": rank, "token_str": ranks.get(rank, f"<SPECIAL_{rank}>"), "is_control": True} for rank in range(36)
    ]
    words = [
        {"rank": byte, "token_bytes": b64encode(bytes([byte])).decode(), "token_str": chr(byte)} for byte in range(256)
    ]
    sizes = {"num_vocab_tokens": 256, "default_vocab_size": 292, "default_num_special_tokens": 36}
    spectrogram = {"num_mel_bins": 20, "hop_length": 160, "window_size": 400}
    sound = {"sampling_rate": 16_000, "frame_rate": 12.5, "chunk_length_s": 30.0, "audio_encoding_config": spectrogram}
    config = {"pattern": r"\p{L}+|\p{N}|[^\p{L}\p{N}]", "version": "v7", **sizes}
    path = folder / "tekken.json"
    path.write_text(json.dumps({"config": config, "vocab": words, "special_tokens": special, "audio": sound}))
    return path


def voxtral(folder: Path) -> tuple[nn.Module, Any]:
    """Voxtral, whose processor is shown sound in conversations; its tokenizer's file goes into a folder."""
    tokens = tf.MistralCommonBackend(tokenizer_path=tekken(folder))
    tower = {**_TOWER, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128}
    config = tf.VoxtralConfig(
        audio_config={**tower, "max_source_positions": 1_500},
        text_config={**_text(tokens, "llama"), "head_dim": 12},
        audio_token_id=24,
    )
    processor = tf.VoxtralProcessor(tf.WhisperFeatureExtractor(feature_size=20), tokens)
    return _seeded(tf.VoxtralForConditionalGeneration, config), processor


def whisper_reader() -> tuple[nn.Module, Any]:
    """A tiny Whisper with a tokenizer; the processor is of both."""
    special = ["<|pad|>", "<|endoftext|>", "<|startoftranscript|>"]
    tokens = tokenizer(special, "<|endoftext|>")
    config = whisper_config(
        vocab_size=len(tokens),
        decoder_layers=2,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=1,
        decoder_start_token_id=2,
    )
    return _seeded(tf.WhisperForConditionalGeneration, config), _Both(whisper_extractor(), tokens)


class _Both:
    """What a processor of speech is for us: a feature extractor and a tokenizer."""

    def __init__(self, feature_extractor: Any, tokens: Any) -> None:
        self.feature_extractor, self.tokenizer = feature_extractor, tokens


def _without_eyes(kind: Any) -> Any:
    """A processor class that does without image and video processors, which want torchvision."""

    def check(self: Any, name: str, value: Any) -> Any:
        return None if value is None else kind.check_argument_for_proper_class(self, name, value)

    return type(kind.__name__, (kind,), {"check_argument_for_proper_class": check})


FAMILIES = (
    ReaderFamily("Qwen2-Audio", qwen2_audio, "model.language_model", "<|AUDIO|>", 0.04),
    ReaderFamily("Audio Flamingo 3", audio_flamingo, "model.language_model", "<sound>", 0.04),
    ReaderFamily("Granite Speech", granite_speech, "model.language_model", "<|audio|>", 0.3, group=3),
    ReaderFamily("Qwen2.5-Omni thinker", qwen_omni, "model.language_model", "<|audio|>", 0.04),
    ReaderFamily("Phi-4-multimodal", phi4, "model", "<|audio|>", 0.08, gated=False),
)
