"""Which units go with a concept: the door to the selectors.

Every method ranks the units that it finds, so that a count or a share of all units makes methods comparable at equal
size:

ocp           captions of the unit's highest exemplars that carry the concept, and of all clips where activations were
              kept (`selectors.ocp`); ocp_exemplars: of exemplars alone
db, tab, labels, icl   the unit's labels, which may go by all clips (`selectors.labels`)
db_top5, labels_top5   labels by the same five clips that ocp sees (`selectors.exemplars`)
correlation   with the concept's scores over all clips (`selectors.correlation`)
frequency, entropy, deviation, contrast   activations and labels of all clips (`selectors.activations`)
random        by chance

Units that tie are put in an order drawn by the seed, not in the model's: early layers must not come first by default.

By which sites' units: see `prunable_sites`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..dissection.dissection import Dissection
from ..kernels.surroundings import plain_torch
from ..wording import counted
from .prunable_sites import site_widths
from .selectors.activations import SELECTORS, by_activations
from .selectors.correlation import by_correlation
from .selectors.exemplars import by_top_captions, by_top_labels
from .selectors.keys import ConceptQuery, RankedUnits
from .selectors.labels import by_labels
from .selectors.ocp import by_captions
from .unit_set import RANDOM, ChoiceError, UnitChoice, matched

LABELS = ("db", "tab", "labels", "icl")
METHODS = ("ocp", "ocp_exemplars", "db_top5", "labels_top5", *LABELS, "correlation", *SELECTORS, RANDOM)
ALL_UNITS = ("db_top5", "correlation", *SELECTORS)
"""Methods that rank all units, so that a choice needs a count or a share."""

_MORE = {
    "ocp": ", or dissect with more exemplars (-k) or with --keep-activations, where all units can be ranked",
    "ocp_exemplars": ", or dissect with more exemplars (-k)",
}


class Ranking(NamedTuple):
    """The units that a method ranks, best first, and what it went by.

    default_count  how many of them the method takes where no number is asked for
    """

    units: list[tuple[str, int]]
    settings: dict[str, Any]
    default_count: int


@plain_torch()
def choose(
    dissection: Dissection,
    concept: str,
    *,
    method: str = "ocp",
    count: int | None = None,
    share: float | None = None,
    sites: str | Iterable[str] | None = None,
    top: int = 3,
    like: UnitChoice | None = None,
    seed: int = 0,
    words: Iterable[str] | None = None,
    similarity: str | None = None,
    encoder: str | None = None,
) -> UnitChoice:
    """The units that go with a concept.

    method  ocp: captions of the unit's highest exemplars carry the concept; where activations were kept, ranked by the
            captions of all clips (ocp_exemplars: by exemplars alone). db, tab, labels, icl: the concept is among the
            unit's `top` labels by that method, alone or in a union. db_top5, labels_top5: the same by the five highest
            clips alone. correlation: units whose activation goes most with the concept's scores over all
            clips. frequency, entropy, deviation, contrast: see `selectors.activations`. random: by chance, as many of
            every site as `like` has
    count   exactly so many units, the best of the method's ranking; or
    share   this share of all units of the sites, above 0 and at most 1. Without either, all that the method finds
    sites   names or globs of dissected sites; None: all but the class logits, without which any class is unlearned,
            and but those whose units other sites have as well (see `prunable_sites`)
    seed    orders units that tie, and draws those of random
    words   ocp: ways in which captions say the concept, in place of its name
    similarity  labels: by which similarity they were made, where there are several; correlation: pearson (default),
            cos, cos_cubed or auprc
    encoder labels: by which encoder they were made, where there are several; db_top5: which encodes (default: words)

    Raises ValueError for a method that does not exist and for settings that go against each other; DissectionError
    where a step has yet to be run, naming the command; ChoiceError where no unit goes with the concept, or fewer than
    were asked for.
    """
    request = _Request(method, count, share, like, seed)
    request.check()
    widths = site_widths(dissection, sites)
    number = request.number(widths)
    if method == RANDOM:
        return _at_random(dissection, concept, widths, request, number)
    ranking = ranked(
        dissection, concept, method=method, sites=sites, top=top, seed=seed, words=words, similarity=similarity,
        encoder=encoder,
    )  # fmt: skip
    units = _best(ranking, number, method, concept)
    settings = {
        **ranking.settings,
        "found": ranking.default_count,
        "ranked": len(ranking.units),
        "of": sum(widths.values()),
    }
    return UnitChoice(UnitChoice.of(units).units, method, concept, settings | _origin(dissection))


@plain_torch()
def ranked(
    dissection: Dissection,
    concept: str,
    *,
    method: str = "ocp",
    sites: str | Iterable[str] | None = None,
    top: int = 3,
    seed: int = 0,
    words: Iterable[str] | None = None,
    similarity: str | None = None,
    encoder: str | None = None,
) -> Ranking:
    """All units that a method ranks for a concept, best first. Arguments and errors as for `choose`."""
    widths = site_widths(dissection, sites)
    query = ConceptQuery(concept, widths, top, None if words is None else tuple(words), similarity, encoder)
    keys, settings, default_units = _ranked_units(dissection, query, method)
    order = _drawn_order(widths, seed)
    units = sorted(keys, key=lambda unit: (tuple(-part for part in keys[unit]), order[unit[0]][unit[1]]))
    settings = {**settings, "sites": list(widths), "seed": seed}
    return Ranking(units, settings, len(units if default_units is None else default_units))


def _ranked_units(dissection: Dissection, query: ConceptQuery, method: str) -> RankedUnits:
    if method in ("ocp", "ocp_exemplars"):
        return by_captions(dissection, query, every_clip=method == "ocp")
    if method == "db_top5":
        return by_top_captions(dissection, query)
    if method == "labels_top5":
        return by_top_labels(dissection, query)
    if method in LABELS:
        return by_labels(dissection, query, method)
    if method == "correlation":
        return by_correlation(dissection, query)
    if method in SELECTORS:
        return by_activations(dissection, query, method)
    raise ValueError(f"{method!r} ranks no units: one of {', '.join(METHODS[:-1])} does")


def _best(ranking: Ranking, number: int | None, method: str, concept: str) -> list[tuple[str, int]]:
    """So many of a ranking's units; None: all that the method finds. Raises ChoiceError where there are too few."""
    if number is None and not ranking.default_count:
        raise ChoiceError(
            f"{method} finds no unit for {concept!r} by itself, and ranks {len(ranking.units)}: say how many, with a "
            "count or a share (--count, --share)"
        )
    if number is not None and number > len(ranking.units):
        raise ChoiceError(
            f"{method} ranks {counted(len(ranking.units), 'unit')} for {concept!r}, and {number} were asked for: ask "
            f"for fewer{_MORE.get(method, '')}"
        )
    return ranking.units[: ranking.default_count if number is None else number]


@dataclass(frozen=True)
class _Request:
    """How many units, by which method."""

    method: str
    count: int | None
    share: float | None
    like: UnitChoice | None
    seed: int

    @property
    def sized(self) -> bool:
        """Whether a number of units is asked for."""
        return self.count is not None or self.share is not None

    def check(self) -> None:
        """Raise ValueError for settings that go against each other."""
        if self.method not in METHODS:
            raise ValueError(f"unknown method {self.method!r}: one of {', '.join(METHODS)}")
        self._check_size()
        if self.method == RANDOM and (self.like is not None) == self.sized:
            raise ValueError("random units: give like= (a choice to match at every site), or a count or a share")
        if self.method != RANDOM and self.like is not None:
            raise ValueError(f"like= is for random, not for {self.method}")
        if self.method in ALL_UNITS and not self.sized:
            raise ValueError(f"{self.method} orders all units: give a count or a share of them")

    def _check_size(self) -> None:
        if self.count is not None and self.share is not None:
            raise ValueError("give a count or a share, not both")
        if self.count is not None and self.count < 1:
            raise ValueError(f"count must be at least 1, it is {self.count}")
        if self.share is not None and not 0 < self.share <= 1:
            raise ValueError(f"share must be above 0 and at most 1, it is {self.share}")

    def number(self, widths: Mapping[str, int]) -> int | None:
        """How many units; None: all that the method finds."""
        return self.count if self.share is None else max(1, round(self.share * sum(widths.values())))


def _at_random(
    dissection: Dissection, concept: str, widths: Mapping[str, int], request: _Request, number: int | None
) -> UnitChoice:
    """Units by chance: as many of every site as another choice has, or so many of all."""
    if request.like is not None:
        return matched(request.like, widths, request.seed)
    assert number is not None
    units = [(site, unit) for site, width in widths.items() for unit in range(width)]
    if number > len(units):
        verb = "is" if len(units) == 1 else "are"
        raise ChoiceError(f"there {verb} {counted(len(units), 'unit')}, and {number} were asked for")
    places = np.random.default_rng(request.seed).choice(len(units), number, replace=False)
    drawn = UnitChoice.of(units[int(place)] for place in places)
    settings = {"seed": request.seed, "sites": list(widths), **_origin(dissection)}
    return UnitChoice(drawn.units, RANDOM, concept, settings)


def _drawn_order(widths: Mapping[str, int], seed: int) -> dict[str, np.ndarray]:
    """A place for every unit in an order drawn by the seed."""
    order = np.random.default_rng(seed).permutation(sum(widths.values()))
    ends = np.cumsum(list(widths.values()))
    return dict(zip(widths, np.split(order, ends[:-1]), strict=True))


def _origin(dissection: Dissection) -> dict[str, Any]:
    """Which clips the units were found by, so that they are not measured by the same."""
    dataset = dissection.manifest.dataset
    return {"dataset": {name: dataset.get(name) for name in ("name", "split", "fingerprint", "limit")}}
