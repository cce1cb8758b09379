"""Tiny checkpoints as a server wants them: a folder with weights, a feature extractor and, where needed, a tokenizer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import tokenizers
import transformers

from tests.architectures.catalogue import architecture
from tests.composites import COMPOSITES
from tests.families import FAMILIES
from tests.reader_families import qwen2_audio, tokenizer

RATE = 16_000


def save_checkpoint(family: str, folder: Path) -> Path:
    """The tiny random model of a family, saved as its hub checkpoint would be."""
    if family in COMPOSITES:
        return _save_composite(family, folder)
    if family not in FAMILIES:
        return _save_architecture(family, folder)
    chosen = FAMILIES[family]
    chosen.build().save_pretrained(folder)
    chosen.extractor().save_pretrained(folder)
    # The pipelines of these tasks load no model without its tokenizer.
    if family.endswith("-ctc"):
        words = {token: index for index, token in enumerate(["<pad>", "<s>", "</s>", "<unk>", "|", *"abcdefg"])}
        (folder / "vocab.json").write_text(json.dumps(words))
        transformers.Wav2Vec2CTCTokenizer(str(folder / "vocab.json")).save_pretrained(folder)
    if family == "clap":
        words = {token: index for index, token in enumerate(["<pad>", "<s>", "</s>", "<unk>", "sound"])}
        model = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="<unk>"))
        transformers.PreTrainedTokenizerFast(tokenizer_object=model, pad_token="<pad>").save_pretrained(folder)
    return folder


def _save_composite(family: str, folder: Path) -> Path:
    """A whole composite model, with what its task's pipeline wants beside the feature extractor."""
    module: Any
    if family == "qwen2-audio":
        module, processor = qwen2_audio()
        module.save_pretrained(folder)
        processor.save_pretrained(folder)
        return folder
    tokenizer(["<pad>", "<s>"], "<s>").save_pretrained(folder)
    COMPOSITES[family].make().save_pretrained(folder)
    COMPOSITES[family].extractor().save_pretrained(folder)
    return folder


def _save_architecture(model_type: str, folder: Path) -> Path:
    """A small model of an architecture of transformers."""
    tokenizer(["<pad>", "<s>"], "<s>").save_pretrained(folder)
    architecture(model_type).build().save_pretrained(folder)
    architecture(model_type).extractor().save_pretrained(folder)
    return folder


def save_sounds(folder: Path, clips: int = 10, seconds: float = 0.5, rate: int = RATE) -> Path:
    """Ragged 16-bit clips; the fourth is damaged."""
    folder.mkdir(parents=True, exist_ok=True)
    chance = np.random.default_rng(0)
    for index in range(clips):
        samples = 0.3 * chance.standard_normal(int(rate * (seconds + 0.1 * (index % 4))))
        soundfile.write(folder / f"{index:03}.wav", samples.clip(-1, 1), rate, subtype="PCM_16")
    (folder / "003.wav").write_bytes(b"damaged")
    return folder
