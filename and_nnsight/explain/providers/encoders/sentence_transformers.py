"""`sentence-transformers:REPO`: texts embedded by a sentence-transformers model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float32

from ....plugins import PluginError
from ....wording import first_line

_BATCH_SIZE = 64


class SentenceTransformers:
    """Embeds texts with a sentence-transformers model: a hub id (sentence-transformers/all-MiniLM-L12-v2) or a folder.

    Texts longer than the model's window are cut there. Raises PluginError if no such model can be loaded.
    """

    requires: ClassVar[Mapping[str, str]] = {"sentence_transformers": "and-nnsight[sentence-transformers]"}

    def __init__(self, model: str, *, device: str | torch.device | None = None, batch_size: int | None = None) -> None:
        from sentence_transformers import SentenceTransformer

        if (model.startswith((".", "~")) or Path(model).is_absolute()) and not Path(model).is_dir():
            raise PluginError(f"text encoder sentence-transformers: there is no folder {model}")
        self.name = f"sentence-transformers:{model}"
        self._batch_size = batch_size or _BATCH_SIZE
        try:
            self._model = SentenceTransformer(model, device=None if device is None else str(device))
        except (OSError, ValueError) as error:
            raise PluginError(f"text encoder {self.name!r} cannot be loaded: {first_line(error)}") from error

    def encode(self, texts: Sequence[str]) -> Float32[np.ndarray, "text dim"]:
        """One vector of length 1 a text; the zero vector for a blank one."""
        if not texts:
            return np.zeros((0, 0), np.float32)
        vectors = self._model.encode(
            list(texts), batch_size=self._batch_size, normalize_embeddings=True, show_progress_bar=False
        )
        vectors = np.array(vectors, np.float32)
        vectors[[not text.strip() for text in texts]] = 0
        return vectors
