"""The words and phrases of captions, as numbers that can be counted by the million.

A phrase is one to three content words that follow each other with nothing but function words between and no comma,
stop or number. Words count by their stems; one after a negation is another word (no reverberation), and so is one that
is spoken in the clip (“train” is not a train).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Int64

from .english import COMPOUND, FUNCTION_WORDS, GENERIC_WORDS, compounds, stem
from .quotes import quoted_spans

LONGEST = 3
_BITS = 21  # of a word's number; three of them are a phrase's
_TOKEN = re.compile(rf"(?P<number>\d+(?:[.,:]\d+)*(?![^\W_]))|(?P<word>{COMPOUND.pattern})|(?P<stop>[^\w\s'’\-])")
_NEGATIONS = frozenset({"cannot", "never", "no", "non", "not", "without"})
_FEWEST_LETTERS = 3
_KEPT_SPANS = 5_000
_SILENT = FUNCTION_WORDS | GENERIC_WORDS
_SPOKEN = "“"  # before the stem of a spoken word

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class _ContentWord:
    """A word's stem, with "no " where it is denied and “ where it is spoken, and where it begins and ends."""

    stem: str
    start: int
    end: int


class Phrases:
    """Numbers words as they come, and parses captions into keys of phrases."""

    def __init__(self, names: Iterable[Sequence[str]] = ()) -> None:
        """Know some names of kinds, as words: none of their words stands for the rest, but the last. No French is in a
        French horn.
        """
        self._names: dict[str, set[tuple[str, ...]]] = {}  # by their first words
        for name in names:
            stems = tuple(filter(None, map(root, name)))
            for first in range(len(stems) - 1):  # a grand piano is no grand either
                self._names.setdefault(stems[first], set()).add(stems[first:])
        self._numbers: dict[str, int] = {}
        self._words: list[str] = []
        self._spoken: list[int] = []  # the numbers of spoken words
        self._keys: dict[str, Int64[np.ndarray, " phrase"]] = {}
        self._spans: dict[str, dict[int, Span]] = {}

    def __call__(self, caption: str) -> Int64[np.ndarray, " phrase"]:
        """The keys of a caption's phrases, each once, ascending."""
        keys = self._keys.get(caption)
        if keys is None:
            keys = self._keys[caption] = np.array(sorted(self._parsed(caption)), np.int64)
        return keys

    def of_each(self, captions: Iterable[str]) -> list[Int64[np.ndarray, " _"]]:
        """The keys of each caption's phrases."""
        return [self._keys[caption] if caption in self._keys else self(caption) for caption in captions]

    def spans(self, caption: str) -> dict[int, Span]:
        """Where each of a caption's phrases first begins and ends in its text."""
        if caption not in self._spans:
            if len(self._spans) >= _KEPT_SPANS:  # they are large: those of a whole corpus would not fit
                self._spans.clear()
            self._spans[caption] = self._parsed(caption)
        return self._spans[caption]

    def _parsed(self, caption: str) -> dict[int, Span]:
        spans: dict[int, Span] = {}
        for run in _runs(caption):
            numbers = [self._number(word.stem) for word in run]
            cut = self._within_names([word.stem for word in run])
            for first in range(len(run)):
                key = 0
                for last in range(first, min(first + LONGEST, len(run))):
                    key |= numbers[last] << _BITS * (last - first)
                    if last not in cut:
                        spans.setdefault(key, (run[first].start, run[last].end))
        return spans

    def _within_names(self, words: Sequence[str]) -> set[int]:
        """The places of words that are followed by the rest of a name."""
        return {
            first + inside
            for first, word in enumerate(words)
            for name in self._names.get(word, ())
            if tuple(words[first : first + len(name)]) == name
            for inside in range(len(name) - 1)
        }

    def _number(self, word: str) -> int:
        if len(self._numbers) >= (1 << _BITS) - 1:
            raise ValueError(f"the captions have more than {(1 << _BITS) - 1:,} different words")
        number = self._numbers.setdefault(word, len(self._numbers) + 1)
        if number > len(self._words):
            self._words.append(word)
            if word.startswith(_SPOKEN):
                self._spoken.append(number)
        return number

    def words(self, key: int) -> tuple[str, ...]:
        """The stems of a phrase's words; a denied one begins with "no ", a spoken one with “."""
        return tuple(self._words[number - 1] for number in parts(key))

    def begins_a_name(self, key: int) -> bool:
        """Whether the first word of a phrase is part of a name that the phrase has whole."""
        return 0 in self._within_names(self.words(key))

    def is_spoken(self, key: int) -> bool:
        """Whether a phrase is of words that are spoken in the clips."""
        return self.words(key)[0].startswith(_SPOKEN)

    def are_spoken(self, keys: Int64[np.ndarray, " phrase"]) -> Bool[np.ndarray, " phrase"]:
        """`is_spoken`, of many at once."""
        return np.isin(keys & (1 << _BITS) - 1, np.array(self._spoken, np.int64))


def parts(key: int) -> list[int]:
    """The keys of the single words of a phrase."""
    numbers = (key >> _BITS * place & (1 << _BITS) - 1 for place in range(LONGEST))
    return [number for number in numbers if number]


def without(key: int, edge: int) -> int:
    """The key of a phrase less its first or last word."""
    words = parts(key)
    rest = words[1:] if words[0] == edge else words[:-1]
    return sum(number << _BITS * place for place, number in enumerate(rest))


def count_keys(keys: Iterable[Int64[np.ndarray, " _"]]) -> tuple[Int64[np.ndarray, " n"], Int64[np.ndarray, " n"]]:
    """Every key that occurs, ascending, and in how many captions it does."""
    keys = list(keys)
    if not keys:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    distinct, counts = np.unique(np.concatenate(keys), return_counts=True)
    return distinct, counts.astype(np.int64)


def _runs(caption: str) -> Iterable[list[_ContentWord]]:
    """Content words that follow each other."""
    first = 0
    for start, end in quoted_spans(caption):
        yield from _runs_within(caption, first, start, "")
        yield from _runs_within(caption, start, end, _SPOKEN)
        first = end
    yield from _runs_within(caption, first, len(caption), "")


def _runs_within(caption: str, first: int, last: int, mark: str) -> Iterable[list[_ContentWord]]:
    run: list[_ContentWord] = []
    negation: int | None = None
    for token in _TOKEN.finditer(caption, first, last):
        if token["word"] is None:
            yield run
            run, negation = [], None
            continue
        content = root(token["word"])
        if content is None:
            negation = token.start() if negation is None else negation
        elif content and negation is None:
            run.append(_ContentWord(f"{mark}{content}", token.start(), token.end()))
        elif content and negation is not None:
            run.append(_ContentWord(f"{mark}no {content}", negation, token.end()))
            negation = None
    yield run


@lru_cache(maxsize=1 << 16)
def root(word: str) -> str | None:
    """The stem of a content word, high-pitch of a compound; "" for another word, None for a negation."""
    folded = " ".join(compounds(word))
    if folded in _NEGATIONS or folded.endswith("n't"):
        return None
    if folded in _SILENT or (folded.isascii() and len(folded) < _FEWEST_LETTERS):
        return ""
    return "-".join(stem(part) for part in folded.split("-"))
