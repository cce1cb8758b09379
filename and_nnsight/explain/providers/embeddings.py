"""Texts as vectors, and how near two are."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32
from safetensors import SafetensorError

from ...dissection.array_kind import as_tensor
from ...plugins import PluginError
from ...storage import read_arrays, write_tensors
from ..roles import TextEncoder
from .batching import chunks_of

Matrix = Float32[np.ndarray, "text dim"]

_BATCH_TEXTS = 1024
_KEY_BYTES = 16


def cosines(a: Float[np.ndarray, "n dim"], b: Float[np.ndarray, "m dim"]) -> Float32[np.ndarray, "n m"]:
    """Cosine of every row of one matrix with every row of another; 0 where either has no direction."""
    return directions(a) @ directions(b).T


def directions(vectors: Float[np.ndarray, "n dim"]) -> Float32[np.ndarray, "n dim"]:
    """The rows at length 1. A row of zeros, or one that is not finite, becomes zeros: it is near to nothing."""
    vectors = np.where(np.isfinite(vectors).all(axis=1, keepdims=True), vectors, 0).astype(np.float64)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0).astype(np.float32)


class Embeddings:
    """The vectors of texts at length 1, each text encoded once.

    Raises ValueError where the encoder does not give one vector a text, PluginError where it raises.
    """

    def __init__(self, encoder: TextEncoder, name: str) -> None:
        self._encoder, self._name = encoder, name
        self._rows: dict[str, int] = {}
        self._vectors = np.zeros((0, 0), np.float32)
        self.encoded = 0
        """How many texts have been encoded, not read."""

    def __call__(self, texts: Sequence[str]) -> Matrix:
        """One vector a text, in order."""
        new = [text for text in dict.fromkeys(texts) if text not in self._rows]
        for batch in chunks_of(new, _BATCH_TEXTS):
            self._keep(batch, self._encode(batch))
            self.encoded += len(batch)
        return self._vectors[[self._rows[text] for text in texts]]

    def once(self, texts: Sequence[str]) -> Matrix:
        """One vector a text, in order; they are not kept: for texts of which there are many, and which come once."""
        vectors, done = np.zeros((0, 0), np.float32), 0
        for batch in chunks_of(texts, _BATCH_TEXTS):
            encoded = self._encode(batch)
            if not done:
                vectors = np.empty((len(texts), encoded.shape[1]), np.float32)
            vectors[done : done + len(batch)] = encoded
            done += len(batch)
        self.encoded += len(texts)
        return vectors

    def read(self, path: Path, texts: Sequence[str]) -> None:
        """Take from a file the vectors of those texts that it has, if it is of this encoder's width."""
        with suppress(OSError, SafetensorError, LookupError, ValueError):  # it is only there to save time
            arrays, _ = read_arrays(path)
            places = {bytes(key): place for place, key in enumerate(arrays["keys"])}
            new = [text for text in texts if text not in self._rows]
            known = {text: places[_key(text)] for text in new if _key(text) in places}
            vectors = arrays["vectors"]
            if known and vectors.shape[1] == (self._vectors.shape[1] or vectors.shape[1]):
                self._keep(list(known), vectors[list(known.values())])

    def write(self, path: Path) -> None:
        """Write every text's key and vector, whole or not at all."""
        keys = np.frombuffer(b"".join(map(_key, self._rows)), np.uint8).reshape(-1, _KEY_BYTES)
        vectors = self._vectors[: len(self._rows)]
        write_tensors(path, {"keys": as_tensor(keys.copy()), "vectors": as_tensor(vectors.copy())})

    def _keep(self, texts: Sequence[str], vectors: Matrix) -> None:
        before, width = len(self._rows), vectors.shape[1]
        after = before + len(texts)
        if after > len(self._vectors):
            larger = np.zeros((max(2 * len(self._vectors), after), width), np.float32)
            if before:
                larger[:before] = self._vectors[:before]
            self._vectors = larger
        self._vectors[before:after] = vectors
        self._rows.update((text, before + place) for place, text in enumerate(texts))

    def _encode(self, texts: Sequence[str]) -> Matrix:
        try:
            vectors = np.asarray(self._encoder.encode(texts))
        except PluginError:
            raise
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            raise PluginError(f"text encoder {self._name!r} failed on {len(texts)} texts: {reason}") from error
        widths = {vectors.shape[-1], self._vectors.shape[1] or vectors.shape[-1]} if vectors.ndim == 2 else set()
        if len(vectors) != len(texts) or len(widths) != 1:
            raise ValueError(
                f"text encoder {self._name!r} gave an array of shape {vectors.shape} for {len(texts)} texts: "
                f"it must give one vector a text, all of one length"
            )
        return directions(vectors.astype(np.float32))


def _key(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=_KEY_BYTES).digest()
