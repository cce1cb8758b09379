"""Tiny random checkpoints of audio language models, with a tokenizer of bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n"
    "{% for part in message.content %}"
    "{% if part.type == 'audio' %}AUDIO{% else %}{{ part.text }}{% endif %}"
    "{% endfor %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


PLAIN_TEMPLATE = "{% for message in messages %}<|im_start|>{{ message.content }}<|im_end|>\n{% endfor %}"


SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>", "<sound>"]


def tokenizer():
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    plain = Tokenizer(models.BPE(vocab={letter: index for index, letter in enumerate(letters)}, merges=[]))
    plain.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    plain.decoder = decoders.ByteLevel()
    made = PreTrainedTokenizerFast(tokenizer_object=plain, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    made.add_special_tokens({"additional_special_tokens": SPECIAL})
    return made


def text_settings(size: int) -> dict[str, object]:
    return {
        "model_type": "qwen2",
        "vocab_size": size,
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "initializer_range": 1.0,  # so that it says more than one thing
    }


def save_qwen2_audio(folder: Path, template: str = TEMPLATE) -> Path:
    from transformers import Qwen2AudioConfig, Qwen2AudioForConditionalGeneration, Qwen2AudioProcessor

    audio = {"num_mel_bins": 16, "encoder_layers": 1, "encoder_attention_heads": 2, "encoder_ffn_dim": 32}
    return _save(
        folder,
        (Qwen2AudioConfig, Qwen2AudioForConditionalGeneration, Qwen2AudioProcessor),
        {"model_type": "qwen2_audio_encoder", **audio, "d_model": 16, "max_source_positions": 100},
        ("audio_token_index", "<|AUDIO|>"),
        template.replace("AUDIO", "<|audio_bos|><|AUDIO|><|audio_eos|>"),
    )


def save_audio_flamingo(folder: Path) -> Path:
    from transformers import AudioFlamingo3Config, AudioFlamingo3ForConditionalGeneration, AudioFlamingo3Processor

    audio = {"num_mel_bins": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    return _save(
        folder,
        (AudioFlamingo3Config, AudioFlamingo3ForConditionalGeneration, AudioFlamingo3Processor),
        {"model_type": "audioflamingo3_encoder", **audio, "hidden_size": 16, "max_source_positions": 100},
        ("audio_token_id", "<sound>"),
        TEMPLATE.replace("AUDIO", "<sound>"),
    )


def _save(
    folder: Path, kinds: tuple[Any, Any, Any], audio: dict[str, object], token: tuple[str, str], template: str
) -> Path:
    """Save a random model and its processor.

    kinds  its config, its model and its processor
    token  what the config calls the token that stands for sound, and the token
    """
    from transformers import WhisperFeatureExtractor

    config, model, processor = kinds
    torch.manual_seed(0)
    words = tokenizer()
    number = words.convert_tokens_to_ids(token[1])
    settings = config(audio_config=audio, text_config=text_settings(len(words)), **{token[0]: number})
    model(settings).save_pretrained(folder)
    extractor = WhisperFeatureExtractor(feature_size=16, chunk_length=2)
    processor(extractor, words, chat_template=template).save_pretrained(folder)
    return folder
