"""Which phrases a few captions have more often than the corpus does, and by how much random captions seem to.

The reference of their scores (see `log_odds`) is one half the corpus, one half the captions at the unit's other end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from .chance_draws import FEWEST, ChanceDraws
from .log_odds import Counts, Numbers, bars_of_chance, prior_rates, reference_rates, z_scores
from .phrase_index import Keys, PhraseIndex, look_up
from .phrases import Phrases, count_keys
from .quotes import description


@dataclass(frozen=True)
class Excess:
    """Phrases that several captions have: how many of the captions do, and the z-scores of that."""

    keys: Keys
    counts: Counts
    z: Numbers

    def where(self, mask: Bool[np.ndarray, " phrase"]) -> Excess:
        """Those of them that a mask has."""
        return Excess(self.keys[mask], self.counts[mask], self.z[mask])


class OverRepresentation:
    """Scores the phrases of a few captions against a corpus, and against what chance gives."""

    def __init__(self, phrases: Phrases, captions: Sequence[str], index: PhraseIndex) -> None:
        self._phrases, self._index = phrases, index
        self._draws = ChanceDraws(phrases, captions, index)
        self._bars: dict[tuple[int, int], Numbers] = {}

    def excess(self, captions: Sequence[str], others: Sequence[str]) -> Excess:
        """The phrases that several captions have, those of spoken words only if they tell something."""
        keys, counts = count_keys(self._phrases.of_each(captions))
        keys, counts = keys[counts >= FEWEST], counts[counts >= FEWEST]
        telling = ~self._phrases.are_spoken(keys)
        for place in np.flatnonzero(~telling):
            telling[place] = self._are_described_otherwise(int(keys[place]), captions)
        keys, counts = keys[telling], counts[telling]
        prior = prior_rates(self._index.counts(keys), self._index.size)
        reference = self._reference(keys, prior, others) if others else prior
        return Excess(keys, counts, z_scores(counts, len(captions), prior, reference, self._index.size + len(others)))

    def _reference(self, keys: Keys, prior: Numbers, others: Sequence[str]) -> Numbers:
        """The rate of each phrase: half way from the corpus's to that of the unit's other end."""
        return reference_rates(prior, look_up(keys, *count_keys(self._phrases.of_each(others))), len(others))

    def _are_described_otherwise(self, key: int, captions: Sequence[str]) -> bool:
        """Whether clips share a phrase that are described otherwise: spoken words tell of sounds only if they do.

        The same words under the same description are one speaker, or one recording, as far as anyone can tell.
        """
        return len({description(caption) for caption in captions if key in self._phrases(caption)}) > 1

    def bar(self, captions: int, others: int) -> Numbers:
        """The z-score to be exceeded by a phrase that so many of the captions have, by how many.

        A rare phrase in two random captions has a high z-score more often than a common one in five: every count has
        a bar of its own, see `bars_of_chance`.
        """
        if (captions, others) not in self._bars:
            self._bars[captions, others] = bars_of_chance(self._draws.best(captions, others))
        return self._bars[captions, others]
