"""On which phones, words, speakers and pauses units fire, in words: out of the statistics of annotations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import numpy as np

from ..statistics.false_discovery import false_discovery_rates
from ..wording import Brief
from .dissection import Dissection
from .errors import DissectionError

if TYPE_CHECKING:
    from ..statistics.annotation_statistics import AnnotationStatistics

LEVEL = 0.05
"""False-discovery rate of what is said."""


@dataclass(frozen=True)
class Firing(Brief):
    """A unit that fires on a concept more than chance does, and how well it tells when the concept is there.

    auprc, base_rate, pearson, p, q, clips  see `AnnotationStatistics`
    """

    site: str
    unit: int
    concept: str
    auprc: float
    base_rate: float
    pearson: float
    p: float
    q: float
    clips: int

    @property
    def above_base(self) -> float:
        """How far the AUPRC lies from the base rate to 1: 0 for a unit that knows nothing, 1 for one that knows all."""
        return (self.auprc - self.base_rate) / (1 - self.base_rate) if self.base_rate < 1 else 0.0

    def __str__(self) -> str:
        return (
            f"{self.concept} (AUPRC {self.auprc:.2f}, base rate {self.base_rate:.2f}, p {self.p:.1g}, q {self.q:.1g}, "
            f"{self.clips:,} clips)"
        )


def fires_on(dissection: Dissection, site: str, unit: int, most: int = 3) -> tuple[Firing, ...]:
    """What a unit fires on at a false-discovery rate of 5 %, the furthest above its base rate first.

    Empty where nothing holds, and for a dissection without annotations. Raises DissectionError for a site or unit that
    does not exist.
    """
    if dissection.manifest.annotations is None:
        return ()
    statistics = dissection.annotation_statistics(site)
    if not 0 <= unit < len(statistics.q):
        raise DissectionError(f"site {site!r} has units 0 to {len(statistics.q) - 1}, not {unit}")
    places = np.flatnonzero(statistics.q[unit].numpy() <= LEVEL)
    rows = (_firing(statistics, site, unit, place) for place in places.tolist())
    telling = [row for row in rows if row.above_base > 0]
    return tuple(sorted(telling, key=lambda row: (-row.above_base, row.concept))[:most])


def best_units(
    dissection: Dissection, concepts: str = "*", sites: Iterable[str] | None = None, most: int = 1
) -> tuple[Firing, ...]:
    """The units that tell best when a concept is there, at most so many a concept, the concepts in order of name.

    concepts  a glob over names of concepts, for example "phones: *"
    sites     None: all

    Only units that fire on it at a false-discovery rate of 5 %. Raises DissectionError for a dissection without
    annotations, or a glob that names none.
    """
    best: dict[str, list[Firing]] = {}
    for site in dissection.sites if sites is None else sites:
        for row in _best_of_site(dissection, site, concepts, most):
            best.setdefault(row.concept, []).append(row)
    rows: list[Firing] = []
    for concept in sorted(best):
        rows += sorted(best[concept], key=lambda row: (-row.auprc, row.site, row.unit))[:most]
    return tuple(rows)


def _best_of_site(dissection: Dissection, site: str, concepts: str, most: int) -> Iterator[Firing]:
    statistics = dissection.annotation_statistics(site)
    places = [place for place, name in enumerate(statistics.names) if fnmatchcase(name, concepts)]
    if not places:
        raise DissectionError(f"no concept is called {concepts!r}; there are {', '.join(statistics.names[:8])}, …")
    for place in places:
        holds = (statistics.q[:, place] <= LEVEL).numpy()
        auprc = np.where(holds, statistics.auprc[:, place].numpy(), -np.inf)
        for unit in np.argsort(-auprc, kind="stable")[: min(most, int(holds.sum()))].tolist():
            yield _firing(statistics, site, unit, place)


def _firing(statistics: AnnotationStatistics, site: str, unit: int, place: int) -> Firing:
    of_pair = {name: float(getattr(statistics, name)[unit, place]) for name in ("auprc", "pearson", "p", "q")}
    base_rate, clips = float(statistics.base_rate[place]), int(statistics.clips[place])
    return Firing(site, unit, statistics.names[place], base_rate=base_rate, clips=clips, **of_pair)


@dataclass(frozen=True)
class FiringCheck(Brief):
    """How many pairs of unit and concept were tested, hold, and would hold with every annotation turned round."""

    tested: int
    held: int
    held_turned: int

    @classmethod
    def of(cls, dissection: Dissection) -> FiringCheck:
        """Of all sites of a dissection. Raises DissectionError for one without annotations."""
        q, turned = [], []
        for site in dissection.sites:
            statistics = dissection.annotation_statistics(site)
            tested = ~statistics.p.isnan()
            q.append(statistics.q[tested].numpy())
            turned.append(statistics.p_turned[tested].double().numpy())
        rates = np.concatenate(q)
        chance = np.concatenate(turned)
        chance = false_discovery_rates(chance[~np.isnan(chance)])
        return cls(len(rates), int((rates <= LEVEL).sum()), int((chance <= LEVEL).sum()))

    def __str__(self) -> str:
        return (
            f"{self.held:,} of {self.tested:,} pairs of unit and concept hold at a false-discovery rate of "
            f"{LEVEL:.0%}; with every annotation turned round within its clip, {self.held_turned:,}"
        )
