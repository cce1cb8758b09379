"""Which units are explained, and which part of a clip stands for an exemplar."""

from __future__ import annotations

from collections.abc import Iterable

from ...dissection.dissection import Dissection
from ...dissection.errors import DissectionError
from ...dissection.exemplars import Exemplar
from ...dissection.moments import Moment
from ...sites.names import matching_names
from ..roles import Span

_STEPS_AN_EXCERPT = 4


def chosen_units(
    dissection: Dissection, sites: str | Iterable[str] | None = None, units: Iterable[int] | None = None
) -> list[tuple[str, int]]:
    """The units of the sites that match (names, globs, presets; None: every site), or of these only the given indices.

    Raises DissectionError for a pattern that matches no site and for an index that one of the sites does not have.
    """
    widths = dissection.widths()
    indices = None if units is None else sorted(set(units))
    chosen: list[tuple[str, int]] = []
    for site in matching_sites(dissection, sites):
        if indices and not (indices[0] >= 0 and indices[-1] < widths[site]):
            outside = indices[0] if indices[0] < 0 else indices[-1]
            raise DissectionError(f"site {site!r} has units 0 to {widths[site] - 1}, not {outside}")
        chosen += [(site, unit) for unit in (range(widths[site]) if indices is None else indices)]
    return chosen


def matching_sites(dissection: Dissection, sites: str | Iterable[str] | None) -> list[str]:
    """The sites that one of the patterns matches, in forward order. Raises DissectionError where one matches none."""
    if sites is None:
        return list(dissection.sites)
    chosen: set[str] = set()
    for pattern in [sites] if isinstance(sites, str) else sites:
        matching = matching_names(dissection.sites, pattern)
        if not matching:
            raise DissectionError(f"no dissected site matches {pattern!r}; there are: {', '.join(dissection.sites)}")
        chosen.update(matching)
    return [site for site in dissection.sites if site in chosen]


def exemplar_span(exemplar: Exemplar, seconds: float, excerpt: float | None) -> Span:
    """The part of an exemplar's clip that is captioned: see `moment_span`."""
    return moment_span(exemplar.clip, (exemplar.start, exemplar.end), seconds, excerpt)


def moment_span(clip: int, moment: Moment, seconds: float, excerpt: float | None) -> Span:
    """The part of a clip that is captioned: all of it, or `excerpt` seconds around the moment at which a unit fires.

    Excerpts begin on a grid of a quarter of their length, so that units which fire at nearly the same moment share one.
    The whole clip where it is no longer than the excerpt or the moment is unknown.
    """
    first, last = moment
    if excerpt is None or seconds <= excerpt or first is None or last is None:
        return Span(clip)
    step = excerpt / _STEPS_AN_EXCERPT
    start = round(((first + last) / 2 - excerpt / 2) / step) * step
    start = round(min(max(start, 0.0), seconds - excerpt), 6)
    return Span(clip, start, round(start + excerpt, 6))
