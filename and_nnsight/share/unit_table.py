"""The table of a dissection's units: their statistics, their best clips, and what has been said of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from typing import Any

import numpy as np

from ..dissection.common_labels import LabelCounter
from ..dissection.decimals import shortest
from ..dissection.dissection import Dissection
from ..dissection.errors import DissectionError
from ..dissection.moments import FrameMoments, frame_text
from ..dissection.rows import Rows
from ..dissection.selectivity import most_selective_units, selectivity
from ..explain.records.unit_selection import chosen_units
from ..sites.geometry import Geometry
from .claims import Claims
from .unit_row import UnitRow

MOST_BEST = 20


def unit_table(dissection: Dissection, sites: str | Iterable[str] | None = None) -> Rows[UnitRow]:
    """A row for each unit of the sites (names or globs; None: all), in forward order.

    Raises DissectionError for a pattern that matches no site.
    """
    names = dict.fromkeys(site for site, _ in chosen_units(dissection, sites))
    rows = _TableOfUnits(dissection)
    return Rows((row for site in names for row in rows.of_site(site, range(dissection.widths()[site]))), UnitRow)


def best_units(
    dissection: Dissection,
    most: int = MOST_BEST,
    *,
    sites: str | Iterable[str] | None = None,
    label: str | None = None,
) -> Rows[UnitRow]:
    """The units worth looking at first: the most selective ones, units of the same clips taking turns.

    most   at most so many
    sites  only of these (names or globs)
    label  only units whose label it is, or whose top clips share it most; then by selectivity alone

    Raises DissectionError for a pattern that matches no site, and for a label that no unit has; it names near ones.
    """
    if most < 1:
        raise ValueError(f"the number of units must be 1 or more, not {most}")
    if label is not None:
        return _with_label(unit_table(dissection, sites), label, most)
    names = list(dict.fromkeys(site for site, _ in chosen_units(dissection, sites)))
    chosen, rows = most_selective_units(dissection, most, names), _TableOfUnits(dissection)
    of_units = {
        (row.site, row.unit): row
        for name in names
        for row in rows.of_site(name, [unit for site, unit in chosen if site == name])
    }
    return Rows((of_units[at] for at in chosen), UnitRow)


def _with_label(rows: Rows[UnitRow], label: str, most: int) -> Rows[UnitRow]:
    wanted = label.casefold()
    of_units = [(row, {name for name in (row.label, row.common_label) if name}) for row in rows]
    matching = [row for row, names in of_units if wanted in {name.casefold() for name in names}]
    if not matching:
        known = sorted(set().union(*(names for _, names in of_units)))
        near = get_close_matches(label, known, 5, 0.4) or known[:5]
        there = f"there are, for example, {', '.join(near)}" if near else "neither clips nor units have any"
        raise DissectionError(f"no unit has the label {label!r}: {there}")
    matching.sort(key=lambda row: -row.selectivity)
    return Rows(matching[:most], UnitRow)


class _TableOfUnits:
    """Makes rows of what is known of all units, which is read once."""

    def __init__(self, dissection: Dissection) -> None:
        self._dissection, self._claims = dissection, Claims(dissection)
        self._labels = LabelCounter(dissection)

    def of_site(self, site: str, units: Sequence[int]) -> Iterator[UnitRow]:
        """The rows of some units of a site."""
        statistics, selective = self._dissection.arrays(site), selectivity(self._dissection, site)
        evidence = self._dissection.evidence_arrays(site, "top")
        first = evidence.telling.argmax(0)  # of those that are evidence
        frames = evidence.ranked.frames[first, np.arange(len(first))]
        geometry = self._dissection.geometry(site)
        moments = FrameMoments(geometry, frames)
        for unit in units:
            clips = evidence.ranked.clips[evidence.telling[:, unit], unit].tolist()
            columns = {
                "selectivity": shortest(selective[unit]),
                "mean": _finite(statistics.mean[unit]),
                "deviation": _finite(np.sqrt(statistics.variance[unit])),
                "active": _finite(statistics.active[unit]),
                "highest": _finite(statistics.top.values[0, unit]),
                "lowest": _finite(statistics.bottom.values[0, unit]),
                "evidence": len(clips),
            }
            best = self._best(clips, geometry, moments, int(frames[unit])) if clips else {}
            yield UnitRow(site, unit, **columns, **best, **self._claims.of(site, unit))

    def _best(self, clips: Sequence[int], geometry: Geometry, moments: FrameMoments, frame: int) -> dict[str, Any]:
        """What is shown of the clips that are evidence, the best first; `frame`: that of the best."""
        best = self._dissection.clips[clips[0]]
        start, end = moments.moment(frame, best)
        common = self._labels.commonest_of([self._dissection.clips[clip].label for clip in clips])
        shared = {} if common is None else {"common_label": common.label, "common_count": common.count}
        token = frame_text(geometry, best.tokens, frame)
        when = {"best_start": start, "best_end": end, "best_token": token}
        return {"best_clip": best.clip, "best_path": best.path, **when, **shared}


def _finite(value: np.floating) -> float | None:
    return shortest(value) if math.isfinite(value) else None
