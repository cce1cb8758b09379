"""Any audio-text encoder as a listener: a clip fits a statement as far as the two lie in one direction."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float32

from ....plugins import PluginError
from ...roles import AudioTextEncoder, Failure, Question
from ...text.sentences import sentences
from ..batching import in_batches
from ..embeddings import directions

_BATCH_SIZE = 16
Vector = Float32[np.ndarray, " dim"]


class EncoderListener:
    """A listener made of an audio-text encoder.

    A clip's fit to a statement is the cosine of the two, the mean over the statement's sentences; its fit to the other
    clips is its mean cosine with them. Every clip and every text is encoded once.
    """

    cheap_statements = True
    threshold = None  # cosines have no value that means yes: the better half of the clips is chosen

    def __init__(self, encoder: AudioTextEncoder, *, name: str | None = None) -> None:
        """`name` in the record; None: that of the encoder."""
        self.name = name or encoder.name
        self.sampling_rate = int(encoder.sampling_rate)
        self._encoder = encoder
        self._sounds: dict[bytes, Vector | Failure] = {}
        self._texts: dict[str, Vector] = {}

    def fits(self, questions: Sequence[Question]) -> Iterator[list[float] | Failure]:
        """The cosines of each question's clips. A question with a clip that cannot be encoded fails alone."""
        sounds = self._sound_vectors(questions)
        self._encode_statements(questions)
        for question in questions:
            vectors = [sounds[id(clip)] for clip in question.clips]
            failed = next((vector for vector in vectors if isinstance(vector, Failure)), None)
            if failed is not None:
                yield failed
                continue
            rows = np.stack([vector for vector in vectors if not isinstance(vector, Failure)]).astype(np.float64)
            if question.statement is None:
                cosines = rows @ rows.T
                np.fill_diagonal(cosines, 0.0)
                yield (cosines.sum(1) / max(1, len(rows) - 1)).tolist()
            else:
                texts = np.stack([self._texts[text] for text in _parts(question.statement)])
                yield (rows @ texts.T).mean(1).tolist()

    def _sound_vectors(self, questions: Sequence[Question]) -> dict[int, Vector | Failure]:
        """The direction of every waveform of the questions, by the identity of the array."""
        arrays = {id(clip): clip for question in questions for clip in question.clips}
        keys = {place: hashlib.blake2b(clip.data, digest_size=16).digest() for place, clip in arrays.items()}
        due = {key: arrays[place] for place, key in keys.items() if key not in self._sounds}
        encoded = in_batches(self._encode, list(due.values()), _BATCH_SIZE)
        self._sounds.update(zip(due, encoded, strict=True))
        return {place: self._sounds[key] for place, key in keys.items()}

    def _encode(self, clips: Sequence[np.ndarray]) -> list[Vector]:
        return list(self._directions(self._encoder.encode_audio(clips), len(clips), "clips"))

    def _encode_statements(self, questions: Sequence[Question]) -> None:
        statements = dict.fromkeys(question.statement for question in questions if question.statement is not None)
        texts = dict.fromkeys(text for statement in statements for text in _parts(statement))
        due = [text for text in texts if text not in self._texts]
        if due:
            vectors = self._directions(self._encoder.encode_text(due), len(due), "texts")
            self._texts.update(zip(due, vectors, strict=True))

    def _directions(self, vectors: np.ndarray, count: int, what: str) -> Float32[np.ndarray, "n dim"]:
        if vectors.ndim != 2 or len(vectors) != count:
            raise PluginError(f"{self.name!r} gave an array of shape {vectors.shape} for {count} {what}, not one a row")
        return directions(vectors)


def _parts(statement: str) -> list[str]:
    """An encoder of captions knows sentences: a statement of several is the mean of them."""
    return sentences(statement) or [statement]
