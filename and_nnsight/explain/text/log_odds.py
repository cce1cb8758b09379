"""Phrases that are over-represented in a few captions: weighted log-odds, held against what random captions give.

The score is that of Monroe, Colaresi and Quinn, "Fightin' Words" (Political Analysis, 2008), over captions: the
log-odds that a caption has a phrase, less those in a reference, over their standard deviation, with a Dirichlet prior
that is the corpus at the weight of one caption. The reference is one half the corpus, one half the captions at the
unit's other end. What passes is ranked by how far it tells the unit from the others of its layer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int64, Shaped

from .phrases import Phrases, counted
from .quoted import description

CHANCE = 0.05
"""Share of units with random clips that are given any phrase at all."""
_DRAWS = 2000
_FEWEST = 2  # captions that share a phrase
_OTHERS = (0, 1, 2, 3, 4, 5, 8, 16, 32, 64)  # captions of the other end that are gone by: every number needs its draws
_SINGLE_Z = 1.645
_CONDITIONAL_Z = 1.96

Keys = Int64[np.ndarray, " phrase"]
Numbers = Float64[np.ndarray, " phrase"]


class Shared(NamedTuple):
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


class Corpus:
    """Which captions of a corpus have which phrase, counted once; then quick for any few captions.

    layers  of a site, a weight for every caption of the corpus: how many of its units have the clip as an exemplar
    """

    def __init__(
        self, phrases: Phrases, captions: Sequence[str], layers: Mapping[str, Sequence[float]] | None = None
    ) -> None:
        self.phrases, self._captions = phrases, list(captions)
        of_each = [phrases(caption) for caption in self._captions]
        keys = np.concatenate([np.zeros(0, np.int64), *of_each])
        order = np.argsort(keys, kind="stable")
        self._captions_having = np.repeat(np.arange(len(of_each)), [len(found) for found in of_each])[order]
        self._keys, self._first = np.unique(keys[order], return_index=True)
        self._counts = np.diff(self._first, append=len(keys))
        self._bars: dict[tuple[int, int], Numbers] = {}
        self._rates: dict[tuple[int, int], float] = {}
        self._weights = {site: np.asarray(weights, np.float64) for site, weights in (layers or {}).items()}
        self._layers = {site: self._layer_rates(weights) for site, weights in self._weights.items()}

    def _layer_rates(self, weights: Float64[np.ndarray, " caption"]) -> Numbers:
        """The share of a site's exemplars that have each phrase."""
        if len(weights) != len(self._captions):
            raise ValueError(f"{len(weights)} weights for {len(self._captions)} captions")
        if not len(self._keys):
            return np.zeros(0)
        return np.add.reduceat(weights[self._captions_having], self._first) / max(float(weights.sum()), 1.0)

    def shared(
        self,
        captions: Sequence[str],
        others: Sequence[str],
        *,
        site: str | None = None,
        strengths: Sequence[float] | None = None,
    ) -> list[Shared]:
        """The phrases that several captions share and that are over-represented, each by itself (one-sided, 5 %).

        None if there is not one among them that is beyond what random captions give.

        site       whose exemplars are what a phrase's gain is against; None: the corpus alone
        strengths  weights of the captions in the gain; None: all alike
        """
        if not self._captions or len(captions) < _FEWEST:
            return []
        others = others[: max((size for size in _OTHERS if size <= len(others)), default=len(others))]
        keys, counts, z = self._excess(captions, others)
        beyond = z > self._bar(len(captions), len(others))[counts]
        if not beyond.any():
            return []
        likely = beyond | (z > _SINGLE_Z)
        keys, z, beyond = keys[likely], z[likely], beyond[likely]
        present = [set(self.phrases(caption).tolist()) for caption in captions]
        weights = np.ones(len(captions)) if strengths is None else np.asarray(strengths, np.float64)
        having = [frozenset(place for place, there in enumerate(present) if key in there) for key in keys.tolist()]
        shares = np.array([weights[list(places)].sum() for places in having]) / weights.sum()
        common = self._background(keys, site)
        gains = _gains(shares, common, len(captions))
        parts_of_one = [tuple((weights / weights.sum()).tolist())] * len(having)
        columns = (keys.tolist(), having, z.tolist(), beyond.tolist(), gains.tolist(), common.tolist(), parts_of_one)
        return [Shared(*row) for row in zip(*columns, strict=True)]

    def adds(self, one: Shared, said: Shared) -> bool:
        """Whether a phrase is over-represented among captions that have another one: Spanish, where all are speech.

        True where it is not one of some of those only.
        """
        if not one.having < said.having:
            return True
        size = self._having(said.key).size
        rate = np.array([self.rate_among(one.key, said.key)])
        counts = np.array([len(one.having)])
        return bool(_z_scores(counts, len(said.having), rate, rate, size)[0] > _CONDITIONAL_Z)

    def gain_beyond(self, one: Shared, said: Sequence[Shared]) -> float:
        """The gain of a phrase where some are said already: what follows from those gains nothing.

        A caption that has one of them is expected to have the phrase as often as the corpus's captions that do (all
        harps are notes), any other as often as the layer's exemplars or the corpus, whichever is nearer.
        """
        expected = np.array([
            max((self.rate_among(one.key, other.key) for other in said if place in other.having), default=one.common)
            for place in range(len(one.weights))
        ])  # fmt: skip
        weights = np.array(one.weights)
        share, rate = weights[list(one.having)].sum(), weights @ expected
        return float(_gains(np.array([share]), np.array([rate]), len(weights))[0])

    def gain_together(self, several: Sequence[Shared], site: str | None = None) -> float:
        """The gain of phrases that are told together: a caption counts for the rarest of them that it has, or for none.

        Of one phrase it is its `gain`. Of two kinds of sound, either of which some of the captions are, it is more than
        that of a word which both kinds have, if that word is common. Nats; 0 at least.

        site  whose units' exemplars are the background too, as in `shared`
        """
        weights = np.array(several[0].weights)
        rarest_first = sorted(several, key=lambda one: (one.common, one.key))
        taken: set[int] = set()
        said = np.zeros(len(self._captions), bool)
        shares, rates = [], []
        for one in rarest_first:
            there = self._having(one.key)
            there = there[~said[there]]
            shares.append(float(weights[list(one.having - taken)].sum()))
            rates.append(max(there.size / len(self._captions), self._share_of_layer(there, site)))
            taken |= one.having
            said[there] = True
        least = 0.5 / (len(weights) + 1)
        own = np.array([*shares, 1 - sum(shares)]).clip(least, 1 - least)
        background = np.array([*rates, 1 - sum(rates)]).clip(0.5 / (len(self._captions) + 1), 1.0)
        terms = own / own.sum() * np.log(own / own.sum() / background * background.sum())
        return len(weights) * float(terms.sum())

    def _share_of_layer(self, captions: Int64[np.ndarray, " caption"], site: str | None) -> float:
        """The share that captions of the corpus have in the exemplars of a site's units; 0 where that is not known."""
        if site not in self._weights:
            return 0.0
        return float(self._weights[site][captions].sum()) / max(float(self._weights[site].sum()), 1.0)

    def rate(self, key: int) -> float:
        """The share of the corpus's captions that have a phrase; kept off 0, as a caption may be new to the corpus."""
        return max(self._having(key).size, 0.5) / len(self._captions)

    def _background(self, keys: Keys, site: str | None) -> Numbers:
        """The rate of each phrase in the corpus, or among the site's exemplars where that is higher; off 0 and 1."""
        size = len(self._captions)
        rates = _looked_up(keys, self._keys, self._counts) / size
        if site in self._layers:
            rates = np.maximum(rates, _looked_up(keys, self._keys, self._layers[site]))
        return rates.clip(0.5 / (size + 1), 1 - 0.5 / (size + 1))

    def rate_among(self, key: int, among: int) -> float:
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
        a bar of its own, see `_bar_of_each`.
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
            self._bars[captions, others] = _bar_of_each(best)
        return self._bars[captions, others]

    def _excess(self, captions: Sequence[str], others: Sequence[str]) -> tuple[Keys, Keys, Numbers]:
        """The phrases that several captions have, how many do, and the z-scores."""
        keys, counts = counted(self.phrases(caption) for caption in captions)
        keys, counts = keys[counts >= _FEWEST], counts[counts >= _FEWEST]
        told = np.array([self._is_told(key, captions) for key in keys.tolist()], bool)
        keys, counts = keys[told], counts[told]
        everywhere = np.maximum(_looked_up(keys, self._keys, self._counts), 0.5)  # a caption may be new to the corpus
        prior = everywhere / (len(self._captions) + 1)
        reference = prior
        if others:
            there = _looked_up(keys, *counted(self.phrases(caption) for caption in others))
            reference = (prior + (there + prior) / (len(others) + 1)) / 2
        return keys, counts, _z_scores(counts, len(captions), prior, reference, len(self._captions) + len(others))

    def _is_told(self, key: int, captions: Sequence[str]) -> bool:
        """Whether a phrase tells of sounds: spoken words do only if clips that are described otherwise share them.

        The same words under the same description are one speaker, or one recording, as far as anyone can tell.
        """
        if not self.phrases.is_spoken(key):
            return True
        return len({description(caption) for caption in captions if key in self.phrases(caption)}) > 1


def _bar_of_each(best: Float64[np.ndarray, "draw count"]) -> Numbers:
    """The bars that are exceeded at each count in one and the same share of the draws, at any in CHANCE of them.

    best  the highest z-score of each draw at each count. Counts that hardly occur by chance use up none of it
    """
    highest_last = np.sort(best, axis=0)
    bars = highest_last[-1]
    for exceeding in range(1, round(CHANCE * len(best)) + 1):
        lower = highest_last[-1 - exceeding]
        if (best > lower).any(1).mean() > CHANCE:
            break
        bars = lower
    return bars


def _gains(shares: Numbers, rates: Numbers, size: int) -> Numbers:
    """The log-likelihood ratio of so many captions at a share of their own and at a given rate; signed."""
    own = shares.clip(0.5 / (size + 1), 1 - 0.5 / (size + 1))
    gains = size * (own * np.log(own / rates) + (1 - own) * np.log((1 - own) / (1 - rates)))
    return np.where(own > rates, gains, -gains)


def _z_scores(counts: Keys, of: int, prior: Numbers, reference: Numbers, size: int) -> Numbers:
    """Log-odds of counts out of `of`, with a prior worth one caption, less those of a reference out of `size`."""
    counted_in, reference_in = counts + prior, reference * size
    delta = np.log(counted_in / (of + 1 - counted_in)) - np.log(reference_in / (size - reference_in))
    variance = 1 / counted_in + 1 / (of + 1 - counted_in) + 1 / reference_in + 1 / (size - reference_in)
    return delta / np.sqrt(variance)


def _looked_up(keys: Keys, known: Int64[np.ndarray, " known"], counts: Shaped[np.ndarray, " known"]) -> Numbers:
    """The count of every key; 0 for one that is not known."""
    if not len(known):
        return np.zeros(len(keys))
    places = np.minimum(np.searchsorted(known, keys), len(known) - 1)
    return np.where(known[places] == keys, counts[places], 0).astype(np.float64)
