"""Random draws of a corpus's captions: the z-scores that phrases have by chance. All draws are counted at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float64, Int64

from .log_odds import prior_rates, reference_rates, z_scores
from .phrase_index import PhraseIndex, look_up
from .phrases import Phrases
from .quotes import description

DRAWS = 2000
"""Random sets of captions that a bar is taken from."""
FEWEST = 2
"""Captions that share a phrase."""

Entries = Int64[np.ndarray, " entry"]
Codes = Int64[np.ndarray, " code"]


class ChanceDraws:
    """Draws of captions of a corpus.

    An entry is a phrase in a caption of a draw. Its code is the draw's number times the number of phrases, and the
    phrase's place among them, so that equal codes are the same phrase in captions of one draw.
    """

    def __init__(self, phrases: Phrases, captions: Sequence[str], index: PhraseIndex) -> None:
        self._index = index
        self._spoken: Bool[np.ndarray, " phrase"] = phrases.are_spoken(index.keys)
        described = {text: number for number, text in enumerate(dict.fromkeys(map(description, captions)))}
        self._descriptions = np.array([described[description(caption)] for caption in captions], np.int64)

    def best(self, captions: int, others: int) -> Float64[np.ndarray, "draw count"]:
        """The highest z-score of each draw of so many captions at each count; 0 where there is none above it.

        others  captions that are drawn as well, for the unit's other end

        A score is that of `OverRepresentation.excess`, of phrases that `FEWEST` of the captions have at least.
        """
        random, size = np.random.default_rng(0), self._index.size
        repeat = size < captions + others
        places = np.stack([random.choice(size, captions + others, replace=repeat) for _ in range(DRAWS)])
        codes, of_captions = self._entries(places[:, :captions])
        order = np.argsort(codes, kind="stable")
        distinct, first, counts = np.unique(codes[order], return_index=True, return_counts=True)
        kept = (counts >= FEWEST) & self._tell_something(distinct, first, of_captions[order])
        distinct, counts = distinct[kept], counts[kept].astype(np.int64)
        draws, phrases = np.divmod(distinct, max(len(self._index.keys), 1))
        prior = prior_rates(self._index.counts(self._index.keys)[phrases], size)
        reference = prior
        if others:
            codes_there = self._entries(places[:, captions:])[0]
            there = look_up(distinct, *np.unique(codes_there, return_counts=True))
            reference = reference_rates(prior, there, others)
        best = np.zeros((DRAWS, captions + 1))
        np.maximum.at(best, (draws, counts), z_scores(counts, captions, prior, reference, size + others))
        return best

    def _entries(self, places: Int64[np.ndarray, "draw caption"]) -> tuple[Entries, Entries]:
        """Codes of the entries of drawn captions, and the caption of each."""
        first, lengths, phrases = self._index.by_caption
        chosen = places.reshape(-1)
        of_each = lengths[chosen]
        captions = np.repeat(chosen, of_each)
        before = np.repeat(np.cumsum(of_each) - of_each, of_each)
        inside = np.arange(len(captions)) - before
        draws = np.repeat(np.repeat(np.arange(len(places)), places.shape[1]), of_each)
        return draws * len(self._index.keys) + phrases[first[captions] + inside], captions

    def _tell_something(self, codes: Codes, first: Codes, captions: Entries) -> Bool[np.ndarray, " code"]:
        """Which are not spoken, or in captions that are described otherwise (see `OverRepresentation`).

        codes     distinct; `first`: where those of each begin in `captions`
        captions  of all entries, in the order of their codes
        """
        if not len(codes) or not self._spoken.any():
            return np.ones(len(codes), bool)
        described = self._descriptions[captions]
        various = np.minimum.reduceat(described, first) != np.maximum.reduceat(described, first)
        return ~self._spoken[codes % len(self._index.keys)] | various
