"""A tiny random CLAP with a real tokenizer of whole words."""

from __future__ import annotations

from pathlib import Path

import torch
import transformers as tf

from tests.families import FAMILIES, clap_extractor

WORDS = "a dog barks rain falls on the roof bird sings siren wails in street"


def save_clap(folder: Path, fusion: bool = False) -> Path:
    model = FAMILIES["clap"].build()
    extractor = clap_extractor()
    if fusion:
        model.config.audio_config.enable_fusion = True
        torch.manual_seed(0)
        model = tf.ClapModel(model.config)
        extractor.truncation = "fusion"
    save_tokenizer(folder)
    model.save_pretrained(folder)
    extractor.save_pretrained(folder)
    return folder


def save_tokenizer(folder: Path) -> None:
    """A tokenizer of whole words, with RoBERTa's special tokens."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    vocabulary = {
        word: index for index, word in enumerate(["<s>", "<pad>", "</s>", "<unk>", *dict.fromkeys(WORDS.split())])
    }
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    tf.PreTrainedTokenizerFast(
        tokenizer_object=words, bos_token="<s>", pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    ).save_pretrained(folder)
