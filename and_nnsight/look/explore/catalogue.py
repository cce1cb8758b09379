"""The units of a dissection as a list: what is said of each in a line, filtered and sorted, a page at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...dissection.dissection import Dissection
from ...dissection.errors import DissectionError
from ...explain.evaluate.verdicts import Verdicts
from ...explain.read.statements import Statements
from ..claim_view import Standing
from ..site_view import SiteStanding

SORTS = ("selectivity", "place")
MOST = 100


@dataclass(frozen=True)
class Entry:
    """A unit in a list.

    text      what is said of it; None where nothing is
    label     its first label
    standing  how the text did when it was tested, or the label where there is no text
    """

    site: str
    unit: int
    text: str | None
    label: str | None
    standing: Standing
    selectivity: float


class Catalogue:
    """Every unit of a dissection, in forward order. What `explain` adds later shows after `reload`."""

    def __init__(self, dissection: Dissection) -> None:
        self.dissection = dissection
        self.standings = {site: SiteStanding(dissection, site) for site in dissection.sites}
        self.reload()

    def reload(self) -> None:
        """Read again what is said of the units."""
        claims = _Claims.read(self.dissection)
        self.entries: dict[tuple[str, int], Entry] = {
            (site, unit): claims.entry(site, unit, selectivity)
            for site, standing in self.standings.items()
            for unit, selectivity in enumerate(standing.selectivity.tolist())
        }
        self.explained = {
            site: np.array([self.entries[site, unit].text is not None for unit in range(len(standing.selectivity))])
            for site, standing in self.standings.items()
        }

    @property
    def explained_any(self) -> bool:
        """Whether anything is said of any unit."""
        return any(of_site.any() for of_site in self.explained.values())

    def chosen(self, text: str = "", site: str = "", standing: str = "", sort: str = "selectivity") -> list[Entry]:
        """The entries that hold all words of the text, of one site, of one standing; most selective first, or by place.

        Empty strings choose nothing out. Raises ValueError for an unknown order.
        """
        if sort not in SORTS:
            raise ValueError(f"unknown order {sort!r}: one of {', '.join(SORTS)}")
        words = text.casefold().split()
        entries = [
            entry
            for entry in self.entries.values()
            if site in ("", entry.site) and standing in ("", entry.standing.key) and _has(entry, words)
        ]
        if sort == "selectivity":
            entries.sort(key=lambda entry: -entry.selectivity)
        return entries

    def standing_counts(self) -> dict[Standing, int]:
        """How many units stand how."""
        counts = Counter(entry.standing for entry in self.entries.values())
        return {standing: counts[standing] for standing in Standing}


@dataclass(frozen=True)
class _Claims:
    """What is said of units, and how it did when it was tested.

    explanations  of a unit by (site, index)
    labels        likewise, the first label: the concept and where it comes from
    """

    explanations: Mapping[tuple[str, int], str]
    labels: Mapping[tuple[str, int], tuple[str, str]]
    verdicts: Verdicts

    @classmethod
    def read(cls, dissection: Dissection) -> _Claims:
        try:
            statements = Statements.read(dissection)
        except DissectionError:  # nothing has been explained yet
            statements = Statements({}, {}, ())
        labels: dict[tuple[str, int], tuple[str, str]] = {}
        for row, _ in statements.labels:
            labels.setdefault((row.site, row.unit), (row.concept or "", row.source))
        return cls(statements.explanations, labels, Verdicts.read(dissection))

    def entry(self, site: str, unit: int, selectivity: float) -> Entry:
        text = self.explanations.get((site, unit))
        label, source = self.labels.get((site, unit), ("", ""))
        claim = ("explanation", text) if text else (source, label)
        verdict = self.verdicts(site, unit, *claim) if claim[1] else None
        return Entry(site, unit, text or None, label or None, Standing.of(verdict), selectivity)


def _has(entry: Entry, words: Sequence[str]) -> bool:
    if not words:
        return True
    line = f"{entry.text or ''} {entry.label or ''} {entry.site} {entry.unit}".casefold()
    return all(word in line for word in words)
