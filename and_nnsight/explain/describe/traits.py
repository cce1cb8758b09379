"""Traits of sound that a unit's clips share beyond what chance and its layer have: counted, as words are.

All stored exemplars that are evidence are counted, not only the few whose captions are read: traits are common, and
five clips cannot tell one from chance. The number of a unit's clips that have a trait is held against a binomial draw
at the highest of three rates, each shrunk by one clip with and one without it: that of all clips, that of all clips
weighted by the exemplars of the layer's units, and that of the unit's other end joined with all clips. With so many
traits, each is told only at `CHANCE` over their number.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from ...dissection.dissection import Dissection
from ...storage import json_hash
from ..acoustics.table import measure_acoustics
from ..acoustics.traits import TRAITS, traits_of
from ..roles import Failure
from .background import layer_weights

CHANCE = 0.05
"""Share of units with random clips that are given any trait."""
_FEWEST = 2


@dataclass(frozen=True)
class SharedTraits:
    """Traits that the same clips of a unit have: so many, of so many exemplars."""

    names: tuple[str, ...]
    count: int
    of: int


@dataclass(frozen=True)
class Traits:
    """The traits of clips, by id, and how common each trait is.

    background  the clips that chance draws from
    layers      of a site, how often each of these is an exemplar of one of its units
    exemplars   of a site, a unit and a side ("top", "bottom"), the clips that are evidence
    """

    of: Mapping[int, frozenset[str]]
    background: Sequence[int]
    layers: Mapping[str, Sequence[float]] = field(default_factory=dict)
    exemplars: Mapping[tuple[str, int, str], Sequence[int]] = field(default_factory=dict)
    _rates: dict[tuple[str | None, str], float] = field(default_factory=dict, repr=False)

    @cached_property
    def hash(self) -> str:
        """Short hash of the background's traits."""
        content = [[clip, sorted(self.of.get(clip, ()))] for clip in self.background]
        return json_hash(content)

    def shared(self, site: str, unit: int, side: str) -> SharedTraits | None:
        """What is to be said of one end of a unit: the least likely trait, with those that the same clips have.

        Of its top it must tell the unit from its layer as well. None: there is nothing to be said.
        """
        opposite = "bottom" if side == "top" else "top"
        clips, others = (self.exemplars.get((site, unit, each), ()) for each in (side, opposite))
        likelihoods = self._unlikely(clips, others, site if side == "top" else None)
        if not likelihoods:
            return None
        lead = min(likelihoods, key=lambda name: (likelihoods[name], TRAITS.index(name)))
        having = self._having(lead, clips)
        names = tuple(name for name in TRAITS if name in likelihoods and self._having(name, clips) >= having)
        return SharedTraits(names, len(having), len(clips))

    def _unlikely(self, clips: Sequence[int], others: Sequence[int], site: str | None) -> dict[str, float]:
        """The traits that most clips have, beyond chance, and how likely so many of them are by chance."""
        likelihoods: dict[str, float] = {}
        for name in TRAITS:
            count = len(self._having(name, clips))
            if 2 * count > len(clips) and count >= _FEWEST:
                likelihoods[name] = binomial_tail(count, len(clips), self._rate(name, others, site))
        return {name: value for name, value in likelihoods.items() if value <= CHANCE / len(TRAITS)}

    def _having(self, name: str, clips: Sequence[int]) -> frozenset[int]:
        return frozenset(place for place, clip in enumerate(clips) if name in self.of.get(clip, ()))

    def _rate(self, name: str, others: Sequence[int], site: str | None) -> float:
        everywhere = self._background_rate(name, None)
        opposite = (everywhere + (len(self._having(name, others)) + everywhere) / (len(others) + 1)) / 2
        return max(everywhere, opposite, self._background_rate(name, site))

    def _background_rate(self, name: str, site: str | None) -> float:
        """The share of the background that has a trait, as the exemplars of a site's units weigh it."""
        if (site, name) not in self._rates:
            size = len(self.background)
            weights = self.layers.get(site, ()) if site is not None else ()
            if not float(sum(weights)):
                weights = [1.0] * size
            pairs = zip(self.background, weights, strict=True)
            share = sum(weight for clip, weight in pairs if name in self.of.get(clip, ())) / float(sum(weights))
            self._rates[site, name] = (share * size + 1) / (size + 2)
        return self._rates[site, name]


def binomial_tail(count: int, of: int, rate: float) -> float:
    """The probability of at least `count` hits in `of` draws."""
    return sum(math.comb(of, hits) * rate**hits * (1 - rate) ** (of - hits) for hits in range(count, of + 1))


def measured_traits(dissection: Dissection, units: Iterable[tuple[str, int]], data: object, progress: bool) -> Traits:
    """The traits of units' exemplars, and of all clips of the dissection, which are the background.

    Raises DissectionError where the clips are in no file and `data` is not given.
    """
    background = sorted(dissection.clips)
    measured = measure_acoustics(dissection, data=data, progress=progress)
    known = {span.clip: traits_of(one) for span, one in measured.items() if not isinstance(one, Failure)}
    layers = layer_weights(dissection, background, dissection.manifest.k)
    return Traits(known, background, layers, dict(_exemplars(dissection, units)))


def _exemplars(
    dissection: Dissection, units: Iterable[tuple[str, int]]
) -> Iterator[tuple[tuple[str, int, str], list[int]]]:
    by_site: dict[str, list[int]] = {}
    for site, unit in units:
        by_site.setdefault(site, []).append(unit)
    for site, indices in by_site.items():
        for side in ("top", "bottom"):
            evidence = dissection.evidence(site, side)
            clips, telling = (tensor[:, indices].T.tolist() for tensor in (evidence.ranked.clips, evidence.telling))
            for unit, ids, tells in zip(indices, clips, telling, strict=True):
                yield (site, unit, side), [clip for clip, tell in zip(ids, tells, strict=True) if tell]
