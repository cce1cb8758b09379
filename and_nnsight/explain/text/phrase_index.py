"""Which captions of a corpus have which phrase, counted once; and how common phrases are in it and in its layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float64, Int64, Shaped

from .log_odds import Numbers
from .phrases import Phrases

Keys = Int64[np.ndarray, " phrase"]
Places = Int64[np.ndarray, " caption"]


class PhraseIndex:
    """The captions of a corpus by their phrases.

    layers      of a site, a weight for every caption: how many of its units have the clip as an exemplar

    by_caption  of each caption, where its phrases begin and how many they are; and the phrases, by place in `keys`

    Raises ValueError for a layer that has not a weight for each caption.
    """

    def __init__(
        self, phrases: Phrases, captions: Sequence[str], layers: Mapping[str, Sequence[float]] | None = None
    ) -> None:
        self.size = len(captions)
        keys_of_each = phrases.of_each(captions)
        keys = np.concatenate([np.zeros(0, np.int64), *keys_of_each])
        order = np.argsort(keys, kind="stable")
        lengths = np.array([len(keys) for keys in keys_of_each], np.int64)
        self._captions_having = np.repeat(np.arange(self.size), lengths)[order]
        self._keys, self._first = np.unique(keys[order], return_index=True)
        self._counts = np.diff(self._first, append=len(keys))
        self.by_caption = np.cumsum(lengths) - lengths, lengths, np.searchsorted(self._keys, keys)
        self._rates_among: dict[tuple[int, int], float] = {}
        self._weights = {site: self._checked(weights) for site, weights in (layers or {}).items()}
        self._latest_rates: tuple[str, Numbers] | None = None

    @property
    def keys(self) -> Keys:
        """Those of all phrases, ascending."""
        return self._keys

    def having(self, key: int) -> Places:
        """The captions that have a phrase, by place."""
        place = int(np.searchsorted(self._keys, key))
        if place == len(self._keys) or self._keys[place] != key:
            return np.zeros(0, np.int64)
        return self._captions_having[self._first[place] : self._first[place] + self._counts[place]]

    def counts(self, keys: Keys) -> Numbers:
        """In how many captions each phrase is."""
        return look_up(keys, self._keys, self._counts)

    def rate(self, key: int) -> float:
        """The share of the captions that have a phrase; kept off 0, as a caption may be new to the corpus."""
        return max(self.having(key).size, 0.5) / self.size

    def rate_among(self, key: int, among: int) -> float:
        """The share of the captions with one phrase that have another, kept off 0 and 1."""
        if (key, among) not in self._rates_among:
            those = self.having(among)
            both = np.intersect1d(self.having(key), those, assume_unique=True).size
            self._rates_among[key, among] = (both + 0.5) / (those.size + 1)
        return self._rates_among[key, among]

    def background_rates(self, keys: Keys, site: str | None) -> Numbers:
        """The rate of each phrase in the corpus, or among the site's exemplars where that is higher; off 0 and 1."""
        rates = self.counts(keys) / self.size
        if site is not None and site in self._weights:
            rates = np.maximum(rates, look_up(keys, self._keys, self._rates_in(site)))
        return rates.clip(0.5 / (self.size + 1), 1 - 0.5 / (self.size + 1))

    def share_of_layer(self, captions: Places, site: str | None) -> float:
        """The share that captions of the corpus have in the exemplars of a site's units; 0 where that is not known."""
        if site not in self._weights:
            return 0.0
        return float(self._weights[site][captions].sum()) / max(float(self._weights[site].sum()), 1.0)

    def _checked(self, weights: Sequence[float]) -> Float64[np.ndarray, " caption"]:
        if len(weights) != self.size:
            raise ValueError(f"{len(weights)} weights for {self.size} captions")
        return np.asarray(weights, np.float64)

    def _rates_in(self, site: str) -> Numbers:
        """The share of a site's exemplars that have each phrase: of the latest site, as units come site by site."""
        if self._latest_rates is None or self._latest_rates[0] != site:
            weights = self._weights[site]
            sums = np.add.reduceat(weights[self._captions_having], self._first) if len(self._keys) else np.zeros(0)
            self._latest_rates = site, sums / max(float(weights.sum()), 1.0)
        return self._latest_rates[1]


def look_up(keys: Keys, known: Int64[np.ndarray, " known"], values: Shaped[np.ndarray, " known"]) -> Numbers:
    """The value of every key; 0 for one that is not known."""
    if not len(known):
        return np.zeros(len(keys))
    places = np.minimum(np.searchsorted(known, keys), len(known) - 1)
    return np.where(known[places] == keys, values[places], 0).astype(np.float64)
