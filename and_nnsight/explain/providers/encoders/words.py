"""`words`: texts as bags of their words. No model, no download, no fit; a text has the same vector everywhere."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from jaxtyping import Float32

from ...text.english import FUNCTION_WORDS, GENERIC_WORDS, compounds, stem

DIMENSION = 1024
_PLACES = 16  # coordinates that a word takes: two words that meet by chance in one stay apart in the others
_PIECE_PLACES = 4
_PIECE_LETTERS = (3, 4, 5)
_SPELLING = 0.3  # share of a word's squared length that is its spelling
_LIGHT = 0.2  # weight of a number, and of a word that any clip's description may have
_CACHED_WORDS = 1 << 16

Sparse = tuple[np.ndarray, np.ndarray]


class Words:
    """Compares texts by the words they share and how those are spelt: offline and fast, but blind to meaning.

    A text is the sum of its words, function words left out, each folded to its stem (click, clicks and clicking meet)
    and counted 1 + log(times). A word is a pseudo-random direction of its own and, to a lesser part, of its pieces of
    three to five letters, so that telephone and phone are near. A compound such as high-pitched is itself and its
    parts. Numbers, and words such as clip and sound, count little. Texts without a common word have a cosine around 0
    (standard deviation 0.03), and so have synonyms: it knows words, not meaning.
    """

    name = "words"
    chance = 0.12
    """A cosine that two texts without a common word or piece of one hardly ever exceed."""

    def encode(self, texts: Sequence[str]) -> Float32[np.ndarray, "text dim"]:
        """One vector of length 1 a text; the zero vector for a text without content words."""
        bags = np.zeros((len(texts), DIMENSION), np.float32)
        for row, text in zip(bags, texts, strict=True):
            counts = Counter(_features(text))
            if not counts:
                continue
            vectors = [_vector(feature) for feature in counts]
            weights = [_weight(feature) * (1 + np.log(count)) for feature, count in counts.items()]
            values = [value * weight for (_, value), weight in zip(vectors, weights, strict=True)]
            places = np.concatenate([place for place, _ in vectors])
            row += np.bincount(places, np.concatenate(values), DIMENSION).astype(np.float32)
        lengths = np.linalg.norm(bags, axis=1, keepdims=True)
        return np.divide(bags, lengths, out=bags, where=lengths > 0)


def _features(text: str) -> list[str]:
    """The stems of a text's content words; those of a compound, and the compound."""
    features = []
    for compound in compounds(text):
        parts = [stem(part) for part in compound.split("-") if part and part not in FUNCTION_WORDS]
        features += parts
        if "-" in compound and parts:
            features.append("-".join(stem(part) for part in compound.split("-")))
    return features


def _weight(feature: str) -> float:
    return _LIGHT if feature in _GENERIC_STEMS or feature.isdigit() else 1.0


@lru_cache(maxsize=_CACHED_WORDS)
def _vector(feature: str) -> Sparse:
    """A feature's vector of length 1, as its nonzero coordinates and their values."""
    whole = _direction(feature, _PLACES)
    marked = f"<{feature}>"
    pieces = {marked[i : i + n] for n in _PIECE_LETTERS for i in range(len(marked) - n + 1)} - {marked}
    if pieces and "-" not in feature and not feature.isdigit():
        spelling = np.sum([_direction(f"piece {piece}", _PIECE_PLACES) for piece in sorted(pieces)], axis=0)
        whole = (1 - _SPELLING) ** 0.5 * whole + _SPELLING**0.5 * spelling / max(np.linalg.norm(spelling), 1e-6)
    places = np.flatnonzero(whole)
    return places, whole[places] / np.linalg.norm(whole)


def _direction(text: str, places: int) -> np.ndarray:
    """A pseudo-random direction that depends on the text alone."""
    digest = hashlib.blake2b(text.encode(), digest_size=2 * places).digest()
    numbers = np.frombuffer(digest, "<u2").astype(np.int64)
    signs = np.where(numbers & DIMENSION, 1.0, -1.0)
    direction = np.bincount(numbers % DIMENSION, signs, DIMENSION)
    return direction / max(np.linalg.norm(direction), 1e-6)


_GENERIC_STEMS = frozenset(stem(word) for word in GENERIC_WORDS)
