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

Sites. By default all that were dissected but the class logits: with the preset "paper" the outputs of the three linear
layers of every block, as the paper prunes them, where a unit of hook_attn_out or hook_mlp_out is a direction in which a
block writes to the residual stream, and a unit of mlp.hook_pre a neuron. A site whose units are those of another as
well (mlp.hook_post beside mlp.hook_pre) or a sum that holds everything before it (hook_resid_post) is left out, so that
no unit is pruned twice. Every method and its random controls draw from the same sites.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

import numpy as np

from ..dissection.dissection import Dissection
from ..dissection.errors import DissectionError
from ..sites.declared import HEAD
from ..wording import counted
from .selectors.activations import SELECTORS, by_activations
from .selectors.correlation import by_correlation
from .selectors.exemplars import by_top_captions, by_top_labels
from .selectors.keys import Ranked, Wanted
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

    found  how many of them the method takes where no number is asked for
    """

    units: list[tuple[str, int]]
    settings: dict[str, Any]
    found: int


def choose(
    found: Dissection,
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
            and but those whose units other sites have as well (see the module)
    seed    orders units that tie, and draws those of random
    words   ocp: ways in which captions say the concept, in place of its name
    similarity  labels: by which similarity they were made, where there are several; correlation: pearson (default),
            cos, cos_cubed or auprc
    encoder labels: by which encoder they were made, where there are several; db_top5: which encodes (default: words)

    Raises ValueError for a method that does not exist and for settings that go against each other; DissectionError
    where a step has yet to be run, naming the command; ChoiceError where no unit goes with the concept, or fewer than
    were asked for.
    """
    asked = _Asked(method, count, share, like, seed)
    asked.check()
    widths = site_widths(found, sites)
    wanted = asked.units_of(widths)
    if method == RANDOM:
        return _at_random(found, concept, widths, asked, wanted)
    ranking = ranked(
        found, concept, method=method, sites=sites, top=top, seed=seed, words=words, similarity=similarity,
        encoder=encoder,
    )  # fmt: skip
    if wanted is not None and wanted > len(ranking.units):
        raise ChoiceError(
            f"{method} ranks {counted(len(ranking.units), 'unit')} for {concept!r}, and {wanted} were asked for: ask "
            f"for fewer{_MORE.get(method, '')}"
        )
    if wanted is None and not ranking.found:
        raise ChoiceError(
            f"{method} finds no unit for {concept!r} by itself, and ranks {len(ranking.units)}: say how many, with a "
            "count or a share (--count, --share)"
        )
    chosen = UnitChoice.of(ranking.units[: ranking.found if wanted is None else wanted], method, concept)
    settings = {**ranking.settings, "found": ranking.found, "ranked": len(ranking.units), "of": sum(widths.values())}
    settings |= _origin(found)
    return UnitChoice(chosen.units, method, concept, settings)


def ranked(
    found: Dissection,
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
    widths = site_widths(found, sites)
    ways = None if words is None else tuple(words)
    keys, settings, own = _ranked(found, Wanted(concept, widths, top, ways, similarity, encoder), method)
    order = _drawn_order(widths, seed)
    units = sorted(keys, key=lambda unit: (tuple(-part for part in keys[unit]), order[unit[0]][unit[1]]))
    every = {**settings, "sites": list(widths), "seed": seed}
    return Ranking(units, every, len(units if own is None else own))


def _ranked(dissection: Dissection, wanted: Wanted, method: str) -> Ranked:
    if method in ("ocp", "ocp_exemplars"):
        return by_captions(dissection, wanted, every_clip=method == "ocp")
    if method == "db_top5":
        return by_top_captions(dissection, wanted)
    if method == "labels_top5":
        return by_top_labels(dissection, wanted)
    if method in LABELS:
        return by_labels(dissection, wanted, method)
    if method == "correlation":
        return by_correlation(dissection, wanted)
    if method in SELECTORS:
        return by_activations(dissection, wanted, method)
    raise ValueError(f"{method!r} ranks no units: one of {', '.join(METHODS[:-1])} does")


@dataclass(frozen=True)
class _Asked:
    """How many units, by which method."""

    method: str
    count: int | None
    share: float | None
    like: UnitChoice | None
    seed: int

    def check(self) -> None:
        """Raise ValueError for settings that go against each other."""
        if self.method not in METHODS:
            raise ValueError(f"unknown method {self.method!r}: one of {', '.join(METHODS)}")
        if self.count is not None and self.share is not None:
            raise ValueError("give a count or a share, not both")
        if self.count is not None and self.count < 1:
            raise ValueError(f"count must be at least 1, it is {self.count}")
        if self.share is not None and not 0 < self.share <= 1:
            raise ValueError(f"share must be above 0 and at most 1, it is {self.share}")
        no_number = self.count is None and self.share is None
        if self.method == RANDOM:
            if (self.like is None) == no_number:
                raise ValueError("random units: give like= (a choice to match at every site), or a count or a share")
        elif self.like is not None:
            raise ValueError(f"like= is for random, not for {self.method}")
        elif self.method in ALL_UNITS and no_number:
            raise ValueError(f"{self.method} orders all units: give a count or a share of them")

    def units_of(self, widths: Mapping[str, int]) -> int | None:
        """How many units; None: all that the method finds."""
        return self.count if self.share is None else max(1, round(self.share * sum(widths.values())))


def site_widths(found: Dissection, sites: str | Iterable[str] | None = None) -> dict[str, int]:
    """The units of the sites that match; None: those of the default sites (see the module).

    Raises DissectionError for a pattern that matches none, and where nothing is left.
    """
    if sites is None:
        inside = {site: width for site, width in found.widths().items() if site != HEAD}
        if not inside:
            raise DissectionError(f"{found.folder} is of the class logits alone: dissect sites within the model")
        return {site: width for site, width in inside.items() if not _elsewhere(site, inside)} or inside
    patterns = [sites] if isinstance(sites, str) else list(sites)
    for pattern in patterns:
        if not any(fnmatchcase(site, pattern) for site in found.sites):
            raise DissectionError(f"no dissected site matches {pattern!r}; there are: {', '.join(found.sites)}")
    chosen = {site: width for site, width in found.widths().items() if any(fnmatchcase(site, p) for p in patterns)}
    if not chosen:
        raise DissectionError("no site was asked for: name at least one, or leave sites out")
    return chosen


def _elsewhere(site: str, sites: Mapping[str, int]) -> bool:
    """Whether a site's units are those of another one as well, or sums of all that other sites write."""
    block, _, kind = site.partition(".mlp.")
    if kind == "hook_post":
        return f"{block}.mlp.hook_pre" in sites
    return site.endswith(".hook_resid_post") and any(not name.endswith(".hook_resid_post") for name in sites)


def _at_random(
    found: Dissection, concept: str, widths: Mapping[str, int], asked: _Asked, wanted: int | None
) -> UnitChoice:
    if asked.like is not None:
        return matched(asked.like, widths, asked.seed)
    assert wanted is not None
    every = [(site, unit) for site, width in widths.items() for unit in range(width)]
    if wanted > len(every):
        raise ChoiceError(
            f"there {'is' if len(every) == 1 else 'are'} {counted(len(every), 'unit')}, and {wanted} were asked for"
        )
    drawn = np.random.default_rng(asked.seed).choice(len(every), wanted, replace=False)
    chosen = UnitChoice.of((every[int(place)] for place in drawn), RANDOM, concept)
    return UnitChoice(chosen.units, RANDOM, concept, {"seed": asked.seed, "sites": list(widths), **_origin(found)})


def _drawn_order(widths: Mapping[str, int], seed: int) -> dict[str, np.ndarray]:
    """A place for every unit in an order drawn by the seed."""
    drawn = np.random.default_rng(seed).permutation(sum(widths.values()))
    ends = np.cumsum(list(widths.values()))
    return dict(zip(widths, np.split(drawn, ends[:-1]), strict=True))


def _origin(found: Dissection) -> dict[str, Any]:
    """Which clips the units were found by, so that they are not measured by the same."""
    dataset = found.manifest.dataset
    return {"dataset": {name: dataset.get(name) for name in ("name", "split", "fingerprint", "limit")}}
