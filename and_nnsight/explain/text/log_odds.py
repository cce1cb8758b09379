"""Phrases that are over-represented in a few captions: weighted log-odds, held against what random captions give.

The score is that of Monroe, Colaresi and Quinn, "Fightin' Words" (Political Analysis, 2008), over captions: the
log-odds that a caption has a phrase, less those in a reference, over their standard deviation, with a Dirichlet prior
that is the corpus at the weight of one caption. The reference is one half the corpus, one half the captions at the
unit's other end.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int64

from .phrases import Phrases, counted, parts

CHANCE = 0.05
"""Share of units with random clips that are given any phrase at all."""
_DRAWS = 2000
_FEWEST = 2  # captions that share a phrase
_CONDITIONAL_Z = 1.96
_PEER = 0.5  # of the highest z-score in a phrase: what its first and last word must reach

Keys = Int64[np.ndarray, " phrase"]
Numbers = Float64[np.ndarray, " phrase"]


class Shared(NamedTuple):
    """A phrase's key, which of the captions have it (by place), and the z-score of its over-representation."""

    key: int
    having: frozenset[int]
    z: float


class Corpus:
    """Which captions of a corpus have which phrase, counted once; then quick for any few captions."""

    def __init__(self, phrases: Phrases, captions: Sequence[str]) -> None:
        self._phrases, self._captions = phrases, list(captions)
        of_each = [phrases(caption) for caption in self._captions]
        keys = np.concatenate([np.zeros(0, np.int64), *of_each])
        order = np.argsort(keys, kind="stable")
        self._captions_having = np.repeat(np.arange(len(of_each)), [len(found) for found in of_each])[order]
        self._keys, self._first = np.unique(keys[order], return_index=True)
        self._counts = np.diff(self._first, append=len(keys))
        self._bars: dict[tuple[int, int], Numbers] = {}
        self._rates: dict[tuple[int, int], float] = {}

    def shared(self, captions: Sequence[str], others: Sequence[str]) -> list[Shared]:
        """What is to be said of captions: the phrases they share beyond chance, the most shared first.

        A phrase stands for its parts where as many captions have it. One that only some of the captions with another
        have must be over-represented among all captions with that other, and be in half of these: where all five are
        speech, that three are Spanish is not told if a fourth of all speech is.
        """
        if not self._captions or len(captions) < _FEWEST:
            return []
        keys, counts, z = self._excess(captions, others)
        beyond = z > self._bar(len(captions), len(others))[counts]
        present = [set(self._phrases(caption).tolist()) for caption in captions]
        found = [
            Shared(key, frozenset(place for place, keys_there in enumerate(present) if key in keys_there), score)
            for key, score in zip(keys[beyond].tolist(), z[beyond].tolist(), strict=True)
        ]
        words = {one.key: one.z for one in found if len(parts(one.key)) == 1}
        chosen: list[Shared] = []
        for one in sorted((one for one in found if _is_whole(one, words)), key=lambda one: _order(one, words)):
            repeats = any(set(parts(one.key)) & set(parts(said.key)) for said in chosen)
            if not repeats and all(self._adds(one, said) for said in chosen):
                chosen.append(one)
        return chosen

    def _adds(self, one: Shared, said: Shared) -> bool:
        """Whether a phrase is over-represented among captions that have another one; True if it is not one of those."""
        if not one.having < said.having:
            return True
        if 2 * len(one.having) < len(said.having):
            return False
        size = self._having(said.key).size
        rate = np.array([self._rate(one.key, said.key)])
        counts = np.array([len(one.having)])
        return bool(_z_scores(counts, len(said.having), rate, rate, size)[0] > _CONDITIONAL_Z)

    def _rate(self, key: int, among: int) -> float:
        """The share of the corpus's captions with one phrase that have another, kept off 0 and 1."""
        if (key, among) not in self._rates:
            those = self._having(among)
            both = np.intersect1d(self._having(key), those, assume_unique=True).size
            self._rates[key, among] = (both + 0.5) / (those.size + 1)
        return self._rates[key, among]

    def _having(self, key: int) -> Int64[np.ndarray, " caption"]:
        place = int(np.searchsorted(self._keys, key))
        if place == len(self._keys) or self._keys[place] != key:
            return np.zeros(0, np.int64)
        return self._captions_having[self._first[place] : self._first[place] + self._counts[place]]

    def _bar(self, captions: int, others: int) -> Numbers:
        """The z-score to be exceeded by a phrase that so many of the captions have.

        A rare phrase in two random captions has a high z-score more often than a common one in five: every count has
        a bar of its own, with an equal part of CHANCE.
        """
        if (captions, others) not in self._bars:
            random = np.random.default_rng(0)
            repeat = len(self._captions) < captions + others
            best = np.zeros((_DRAWS, captions + 1))
            for row in best:
                drawn = random.choice(len(self._captions), captions + others, replace=repeat)
                texts = [self._captions[index] for index in drawn]
                _, counts, z = self._excess(texts[:captions], texts[captions:])
                np.maximum.at(row, counts, z)
            part = CHANCE / (captions + 1 - _FEWEST)
            self._bars[captions, others] = np.quantile(best, 1 - part, axis=0, method="higher")
        return self._bars[captions, others]

    def _excess(self, captions: Sequence[str], others: Sequence[str]) -> tuple[Keys, Keys, Numbers]:
        """The phrases that several captions have, how many do, and the z-scores."""
        keys, counts = counted(self._phrases(caption) for caption in captions)
        keys, counts = keys[counts >= _FEWEST], counts[counts >= _FEWEST]
        everywhere = np.maximum(_looked_up(keys, self._keys, self._counts), 0.5)  # a caption may be new to the corpus
        prior = everywhere / (len(self._captions) + 1)
        reference = prior
        if others:
            there = _looked_up(keys, *counted(self._phrases(caption) for caption in others))
            reference = (prior + (there + prior) / (len(others) + 1)) / 2
        return keys, counts, _z_scores(counts, len(captions), prior, reference, len(self._captions) + len(others))


def _z_scores(counts: Keys, of: int, prior: Numbers, reference: Numbers, size: int) -> Numbers:
    """Log-odds of counts out of `of`, with a prior worth one caption, less those of a reference out of `size`."""
    counted_in, reference_in = counts + prior, reference * size
    delta = np.log(counted_in / (of + 1 - counted_in)) - np.log(reference_in / (size - reference_in))
    variance = 1 / counted_in + 1 / (of + 1 - counted_in) + 1 / reference_in + 1 / (size - reference_in)
    return delta / np.sqrt(variance)


def _looked_up(keys: Keys, known: Int64[np.ndarray, " known"], counts: Int64[np.ndarray, " known"]) -> Numbers:
    """The count of every key; 0 for one that is not known."""
    if not len(known):
        return np.zeros(len(keys))
    places = np.minimum(np.searchsorted(known, keys), len(known) - 1)
    return np.where(known[places] == keys, counts[places], 0).astype(np.float64)


def _is_whole(one: Shared, words: Mapping[int, float]) -> bool:
    """Whether nothing trails along in a phrase: it begins and ends with words that are over-represented themselves.

    Or none of its words is, only all of them together.
    """
    telling = [words[word] for word in parts(one.key) if word in words]
    edges: Collection[int] = parts(one.key)[:: max(1, len(parts(one.key)) - 1)]
    return not telling or all(words.get(edge, 0.0) >= _PEER * max(telling) for edge in edges)


def _order(one: Shared, words: Mapping[int, float]) -> tuple[float, ...]:
    """The most shared first, of those the most over-represented, of those the longest."""
    best = max((words[word] for word in parts(one.key) if word in words), default=one.z)
    return (-len(one.having), -best, -len(parts(one.key)), -one.z, one.key)
