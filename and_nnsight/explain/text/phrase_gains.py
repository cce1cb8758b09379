"""How far phrases tell a unit's captions from others: beside phrases that are told already, and several together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .log_odds import divergence, gains_in_nats, z_scores
from .phrase_index import PhraseIndex
from .shared_phrase import SharedPhrase

_CONDITIONAL_Z = 1.96


class PhraseGains:
    """Compares the phrases of a unit with each other, by how often captions of the corpus have one with another."""

    def __init__(self, index: PhraseIndex) -> None:
        self._index = index

    def adds(self, phrase: SharedPhrase, other: SharedPhrase) -> bool:
        """Whether a phrase is over-represented among captions that have another one: Spanish, where all are speech.

        True where it is not one of some of those only.
        """
        if not phrase.having < other.having:
            return True
        size = self._index.having(other.key).size
        rate = np.array([self._index.rate_among(phrase.key, other.key)])
        counts = np.array([len(phrase.having)])
        return bool(z_scores(counts, len(other.having), rate, rate, size)[0] > _CONDITIONAL_Z)

    def beyond(self, phrase: SharedPhrase, others: Sequence[SharedPhrase]) -> float:
        """The gain of a phrase beside others that are told already: what follows from those gains nothing.

        A caption that has one of them is expected to have the phrase as often as the corpus's captions that do (all
        harps are notes), any other as often as the layer's exemplars or the corpus, whichever is nearer.
        """
        weights = np.array(phrase.weights)
        expected = np.array([self._expected(phrase, place, others) for place in range(len(weights))])
        share, rate = weights[list(phrase.having)].sum(), weights @ expected
        return float(gains_in_nats(np.array([share]), np.array([rate]), len(weights))[0])

    def _expected(self, phrase: SharedPhrase, place: int, others: Sequence[SharedPhrase]) -> float:
        rates = (self._index.rate_among(phrase.key, other.key) for other in others if place in other.having)
        return max(rates, default=phrase.common)

    def together(self, several: Sequence[SharedPhrase], site: str | None = None) -> float:
        """The gain of phrases that are told together: a caption counts for the rarest of them that it has, or for none.

        Of one phrase it is its `gain`. Of two kinds of sound, either of which some of the captions are, it is more than
        that of a word which both kinds have, if that word is common. Nats; 0 at least.

        site  whose units' exemplars are the background too, as in `Corpus.shared`
        """
        weights = np.array(several[0].weights)
        of_the_unit: set[int] = set()  # the captions that have counted
        of_the_corpus = np.zeros(self._index.size, bool)
        shares, rates = [], []
        for phrase in sorted(several, key=lambda one: (one.common, one.key)):
            there = self._index.having(phrase.key)
            there = there[~of_the_corpus[there]]
            shares.append(float(weights[list(phrase.having - of_the_unit)].sum()))
            rates.append(max(there.size / self._index.size, self._index.share_of_layer(there, site)))
            of_the_unit |= phrase.having
            of_the_corpus[there] = True
        return divergence(shares, rates, len(weights), self._index.size)
