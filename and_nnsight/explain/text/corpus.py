"""Phrases that are over-represented in a few captions, held against what random captions of a corpus give.

An example. The corpus is a hundred captions, ten each of "A dog nearby.", "A cat nearby." and eight other animals. Four
of a unit's five highest clips are captioned "A dog nearby.", one "A cat nearby.", its five lowest "A cow nearby.". How
many of the five have each phrase is counted:

phrase        of the 5  of the 100  z       bar
dog                  4          10  3.66   0.00
dog nearby           4          10  3.66   0.00
nearby               5         100  0.12   0.12
cat                  1          10    –      –   in one caption only: not shared

z     how far that is above what the corpus and the lowest clips lead to expect (`over_representation`)
bar   what z must exceed: of 2,000 draws of five random captions, 1 in 20 has any phrase beyond the bar of its count. It
      is 2.28 for a phrase of two captions, 2.17 for three; so rare a phrase was never drawn four times

Both phrases with the dog are beyond their bar; "nearby", which every caption has, is not. Their gain is how much
likelier the five captions are at four in five than at one in ten: 5 (0.8 ln 8 + 0.2 ln (0.2 / 0.9)) = 6.8 nats. By that
the phrases are ranked, where the rate is that of the other units of the layer, if theirs is nearer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float64, Int64

from .chance_draws import FEWEST
from .log_odds import gains_in_nats
from .over_representation import Excess, OverRepresentation
from .phrase_gains import PhraseGains
from .phrase_index import Keys, PhraseIndex
from .phrases import Phrases
from .shared_phrase import SharedPhrase

_OTHERS = (0, 1, 2, 3, 4, 5, 8, 16, 32, 64)  # captions of the other end that are gone by: every number needs its draws
_SINGLE_Z = 1.645


class Corpus:
    """The captions that chance is drawn from, counted once; then quick for any few captions.

    layers  of a site, a weight for every caption of the corpus: how many of its units have the clip as an exemplar

    phrases             parses captions
    index               which captions of the corpus have which phrase
    over_representation  z-scores of phrases, and their bars
    gains               of phrases beside each other
    """

    def __init__(
        self, phrases: Phrases, captions: Sequence[str], layers: Mapping[str, Sequence[float]] | None = None
    ) -> None:
        captions = list(captions)
        self.phrases = phrases
        self.index = PhraseIndex(phrases, captions, layers)
        self.over_representation = OverRepresentation(phrases, captions, self.index)
        self.gains = PhraseGains(self.index)

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

        others     captions at the unit's other end
        site       whose exemplars are what a phrase's gain is against; None: the corpus alone
        strengths  weights of the captions in the gain; None: all alike
        """
        if not self.index.size or len(captions) < FEWEST:
            return []
        others = others[: _as_many_as_are_drawn(len(others))]
        excess = self.over_representation.excess(captions, others)
        bar = self.over_representation.bar(len(captions), len(others))
        beyond = excess.z > bar[excess.counts]
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
        """The phrases with the captions that have them, and how far each tells these captions from others."""
        keys, having = excess.keys.tolist(), _having(excess.keys, self.phrases.of_each(captions))
        shares = np.array([weights[list(places)].sum() for places in having]) / weights.sum()
        common = self.index.background_rates(excess.keys, site)
        gains = gains_in_nats(shares, common, len(captions))
        parts_of_one = tuple((weights / weights.sum()).tolist())
        columns = (keys, having, excess.z.tolist(), beyond.tolist(), gains.tolist(), common.tolist())
        return [SharedPhrase(*row, weights=parts_of_one) for row in zip(*columns, strict=True)]


def _having(keys: Keys, of_each: Sequence[Int64[np.ndarray, " _"]]) -> list[frozenset[int]]:
    """Which of some captions have each phrase, by place; the phrases of each caption are given."""
    every, captions = np.concatenate(of_each), np.repeat(np.arange(len(of_each)), list(map(len, of_each)))
    order = np.argsort(every, kind="stable")
    every, captions = every[order], captions[order]
    first, last = np.searchsorted(every, keys, "left"), np.searchsorted(every, keys, "right")
    return [frozenset(captions[start:end].tolist()) for start, end in zip(first, last, strict=True)]


def _as_many_as_are_drawn(others: int) -> int:
    """How many captions of the other end are gone by."""
    return max((size for size in _OTHERS if size <= others), default=others)
