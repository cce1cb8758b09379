"""Tiny checkpoints as a server wants them: a folder with weights, a feature extractor and, where needed, a tokenizer."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import soundfile
import tokenizers
import transformers

from tests.families import FAMILIES

RATE = 16_000


def save_checkpoint(family: str, folder: Path) -> Path:
    """The tiny random model of a family, saved as its hub checkpoint would be."""
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


def save_sounds(folder: Path, clips: int = 10, seconds: float = 0.5, rate: int = RATE) -> Path:
    """Ragged 16-bit clips; the fourth is damaged."""
    folder.mkdir(parents=True, exist_ok=True)
    chance = np.random.default_rng(0)
    for index in range(clips):
        samples = 0.3 * chance.standard_normal(int(rate * (seconds + 0.1 * (index % 4))))
        soundfile.write(folder / f"{index:03}.wav", samples.clip(-1, 1), rate, subtype="PCM_16")
    (folder / "003.wav").write_bytes(b"damaged")
    return folder
