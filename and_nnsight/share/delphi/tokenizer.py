"""The tokenizer that delphi asks for: a token is a clip, and its text what is said of that clip."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from ...storage import undamaged
from .layout import contexts_file


class ClipTokenizer:
    """Gives delphi the texts of an export's clips: `LatentDataset(..., tokenizer=ClipTokenizer(folder))`.

    texts   by token
    clips   the clip of each row of tokens
    source  what the texts are, in words
    """

    def __init__(self, folder: str | Path) -> None:
        """`folder` is what `export_delphi` wrote. Raises ValueError if it is not there or damaged."""
        path = contexts_file(Path(folder).expanduser())
        with undamaged(path, "export the dissection again (and-nnsight export --to delphi)"):
            content = json.loads(path.read_text(encoding="utf-8"))
            self.texts: list[str] = [str(text) for text in content["texts"]]
            self.clips: list[int] = [int(clip) for clip in content["clips"]]
            self.source = str(content["source"])

    def decode(self, tokens: Any, **_: Any) -> str:
        """The texts of one or several tokens, one after another."""
        return " ".join(self.texts[token] for token in np.asarray(tokens).ravel().tolist())

    def batch_decode(self, tokens: Iterable[Any], **_: Any) -> list[str]:
        """The text of each token; of each row, where `tokens` has rows."""
        return [self.decode(token) for token in tokens]

    def __repr__(self) -> str:
        return f"ClipTokenizer({len(self.texts):,} texts of {len(self.clips):,} clips: {self.source})"
