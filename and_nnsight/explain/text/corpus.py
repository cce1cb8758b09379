"""Phrases that are over-represented in a few captions, held against what random captions of a corpus give.

The reference of their scores (see `log_odds`) is one half the corpus, one half the captions at the unit's other end.
What passes is ranked by how far it tells the unit from the others of its layer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64

from .log_odds import Counts, Numbers, bars_of_chance, divergence, gains_in_nats, z_scores
from .phrase_index import Keys, PhraseIndex, look_up
from .phrases import Phrases, count_keys
from .quotes import description

_DRAWS = 2000
_FEWEST = 2  # captions that share a phrase
_OTHERS = (0, 1, 2, 3, 4, 5, 8, 16, 32, 64)  # captions of the other end that are gone by: every number needs its draws
_SINGLE_Z = 1.645
_CONDITIONAL_Z = 1.96


@dataclass(frozen=True)
class SharedPhrase:
    """A phrase that some captions share.

    key     of the phrase
    having  which of the captions have it, by place
    z       of its over-representation against the corpus and the unit's other end
    beyond  whether random captions are given a phrase so over-represented in 1 of 20 cases at most
    gain    nats by which these captions are likelier at their own rate of the phrase than at the rate of the layer's
            exemplars or of the corpus, whichever is nearer; negative where they have it more rarely
    common  that rate
    weights of all the captions in the gain, by place; they sum to 1
    """

    key: int
    having: frozenset[int]
    z: float
    beyond: bool
    gain: float
    common: float
    weights: tuple[float, ...]


@dataclass(frozen=True)
class Excess:
    """Phrases that several captions have: how many of the captions do, and the z-scores of that."""

    keys: Keys
    counts: Counts
    z: Numbers

    def where(self, mask: Bool[np.ndarray, " phrase"]) -> Excess:
        """Those of them that a mask has."""
        return Excess(self.keys[mask], self.counts[mask], self.z[mask])


class Corpus:
    """The captions that chance is drawn from, counted once; then quick for any few captions.

    layers  of a site, a weight for every caption of the corpus: how many of its units have the clip as an exemplar
    """

    def __init__(
        self, phrases: Phrases, captions: Sequence[str], layers: Mapping[str, Sequence[float]] | None = None
    ) -> None:
        self.phrases, self._captions = phrases, list(captions)
        self.index = PhraseIndex(phrases, self._captions, layers)
        self._bars: dict[tuple[int, int], Numbers] = {}

    def shared(
        self,
        captions: Sequence[str],
        others: Sequence[str],
        *,
        site: str | None = None,
        strengths: Sequence[float] | None = None,
    ) -> list[SharedPhrase]:
        """The phrases that several captions share and that are over-represented, each by itself (one-sided, 5 %).

        None if there is not one among them that is beyond what random captions give.

        site       whose exemplars are what a phrase's gain is against; None: the corpus alone
        strengths  weights of the captions in the gain; None: all alike
        """
        if not self._captions or len(captions) < _FEWEST:
            return []
        others = others[: max((size for size in _OTHERS if size <= len(others)), default=len(others))]
        excess = self._excess(captions, others)
        beyond = excess.z > self._bar(len(captions), len(others))[excess.counts]
        if not beyond.any():
            return []
        likely = beyond | (excess.z > _SINGLE_Z)
        weights = np.ones(len(captions)) if strengths is None else np.asarray(strengths, np.float64)
        return self._with_gains(captions, excess.where(likely), beyond[likely], weights, site)

    def _with_gains(
        self,
        captions: Sequence[str],
        excess: Excess,
        beyond: Bool[np.ndarray, " phrase"],
        weights: Float64[np.ndarray, " caption"],
        site: str | None,
    ) -> list[SharedPhrase]:
        present = [set(self.phrases(caption).tolist()) for caption in captions]
        keys = excess.keys.tolist()
        having = [frozenset(place for place, there in enumerate(present) if key in there) for key in keys]
        shares = np.array([weights[list(places)].sum() for places in having]) / weights.sum()
        common = self.index.background_rates(excess.keys, site)
        gains = gains_in_nats(shares, common, len(captions))
        parts_of_one = tuple((weights / weights.sum()).tolist())
        return [
            SharedPhrase(*row, weights=parts_of_one)
            for row in zip(
                keys, having, excess.z.tolist(), beyond.tolist(), gains.tolist(), common.tolist(), strict=True
            )
        ]

    def adds(self, phrase: SharedPhrase, other: SharedPhrase) -> bool:
        """Whether a phrase is over-represented among captions that have another one: Spanish, where all are speech.

        True where it is not one of some of those only.
        """
        if not phrase.having < other.having:
            return True
        size = self.index.having(other.key).size
        rate = np.array([self.index.rate_among(phrase.key, other.key)])
        counts = np.array([len(phrase.having)])
        return bool(z_scores(counts, len(other.having), rate, rate, size)[0] > _CONDITIONAL_Z)

    def gain_beyond(self, phrase: SharedPhrase, others: Sequence[SharedPhrase]) -> float:
        """The gain of a phrase beside others that are told already: what follows from those gains nothing.

        A caption that has one of them is expected to have the phrase as often as the corpus's captions that do (all
        harps are notes), any other as often as the layer's exemplars or the corpus, whichever is nearer.
        """
        weights = np.array(phrase.weights)
        expected = np.array([self._expected(phrase, place, others) for place in range(len(weights))])
        share, rate = weights[list(phrase.having)].sum(), weights @ expected
        return float(gains_in_nats(np.array([share]), np.array([rate]), len(weights))[0])

    def _expected(self, phrase: SharedPhrase, place: int, others: Sequence[SharedPhrase]) -> float:
        rates = (self.index.rate_among(phrase.key, other.key) for other in others if place in other.having)
        return max(rates, default=phrase.common)

    def gain_together(self, several: Sequence[SharedPhrase], site: str | None = None) -> float:
        """The gain of phrases that are told together: a caption counts for the rarest of them that it has, or for none.

        Of one phrase it is its `gain`. Of two kinds of sound, either of which some of the captions are, it is more than
        that of a word which both kinds have, if that word is common. Nats; 0 at least.

        site  whose units' exemplars are the background too, as in `shared`
        """
        weights = np.array(several[0].weights)
        of_the_unit: set[int] = set()  # the captions that have counted
        of_the_corpus = np.zeros(len(self._captions), bool)
        shares, rates = [], []
        for phrase in sorted(several, key=lambda one: (one.common, one.key)):
            there = self.index.having(phrase.key)
            there = there[~of_the_corpus[there]]
            shares.append(float(weights[list(phrase.having - of_the_unit)].sum()))
            rates.append(max(there.size / len(self._captions), self.index.share_of_layer(there, site)))
            of_the_unit |= phrase.having
            of_the_corpus[there] = True
        return divergence(shares, rates, len(weights), len(self._captions))

    def _bar(self, captions: int, others: int) -> Numbers:
        """The z-score to be exceeded by a phrase that so many of the captions have.

        A rare phrase in two random captions has a high z-score more often than a common one in five: every count has
        a bar of its own, see `bars_of_chance`.
        """
        if (captions, others) not in self._bars:
            random = np.random.default_rng(0)
            repeat = len(self._captions) < captions + others
            best = np.zeros((_DRAWS, captions + 1))
            for row in best:
                places = random.choice(len(self._captions), captions + others, replace=repeat)
                texts = [self._captions[place] for place in places]
                excess = self._excess(texts[:captions], texts[captions:])
                np.maximum.at(row, excess.counts, excess.z)
            self._bars[captions, others] = bars_of_chance(best)
        return self._bars[captions, others]

    def _excess(self, captions: Sequence[str], others: Sequence[str]) -> Excess:
        """The phrases that several captions have, those of spoken words only if they tell something."""
        keys, counts = count_keys(self.phrases(caption) for caption in captions)
        keys, counts = keys[counts >= _FEWEST], counts[counts >= _FEWEST]
        telling = ~self.phrases.are_spoken(keys)
        for place in np.flatnonzero(~telling):
            telling[place] = self._are_described_otherwise(int(keys[place]), captions)
        keys, counts = keys[telling], counts[telling]
        everywhere = np.maximum(self.index.counts(keys), 0.5)  # a caption may be new to the corpus
        prior = everywhere / (len(self._captions) + 1)
        reference = prior
        if others:
            there = look_up(keys, *count_keys(self.phrases(caption) for caption in others))
            reference = (prior + (there + prior) / (len(others) + 1)) / 2
        scores = z_scores(counts, len(captions), prior, reference, len(self._captions) + len(others))
        return Excess(keys, counts, scores)

    def _are_described_otherwise(self, key: int, captions: Sequence[str]) -> bool:
        """Whether clips share a phrase that are described otherwise: spoken words tell of sounds only if they do.

        The same words under the same description are one speaker, or one recording, as far as anyone can tell.
        """
        return len({description(caption) for caption in captions if key in self.phrases(caption)}) > 1
