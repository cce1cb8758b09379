"""Units as they are named on the command line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from ..sites.names import matching_names

NAMED = "A site's name, glob or preset, and indices: SITE:5,0:9. Indices alone: of every site. Repeatable."
"""What an option of such names says of itself."""
_HIGHEST = 10_000_000
_LAST = re.compile(r":[\d:,\s]+$")
_ONLY_INDICES = re.compile(r"[\d:,\s]+")
_INDICES = re.compile(r"(\d+)(?::(\d+))?")


def named_units(widths: Mapping[str, int], named: Iterable[str]) -> list[tuple[str, int]]:
    """`SITE:INDICES`, each with a site's name or glob, as units of a dissection with sites of these widths.

    Indices alone are those of every site, as they are where sites are named apart.

    Raises ValueError for anything else, and for a site or index that is not there.
    """
    units: list[tuple[str, int]] = []
    for each in named:
        sites, indices = _sites_and_indices(each, widths)
        for site in sites:
            too_high = [index for index in indices if index >= widths[site]]
            if too_high:
                raise ValueError(f"site {site!r} has units 0 to {widths[site] - 1}, not {too_high[0]}")
            units += [(site, index) for index in indices]
    return list(dict.fromkeys(units))


def _sites_and_indices(named: str, sites: Iterable[str]) -> tuple[list[str], list[int]]:
    pattern, colon, indices = _parted(named, sites)
    matching = matching_names(sites, pattern)
    if not colon or not matching:
        what = f"{pattern!r} matches no site" if colon else "it has no index"
        raise ValueError(f"a unit is SITE:INDEX, not {named!r}: {what}; the sites are {', '.join(sites)}")
    return matching, unit_indices(indices) or []


def _parted(named: str, sites: Iterable[str]) -> tuple[str, str, str]:
    """A site and its indices: both may hold colons, so the longest site is looked for first."""
    known = [site for site in sites if named.startswith(f"{site}:")]
    if not known and _ONLY_INDICES.fullmatch(named):
        return "*", ":", named
    site = max(known, key=len) if known else named[: match.start()] if (match := _LAST.search(named)) else named
    return site, named[len(site) : len(site) + 1], named[len(site) + 1 :]


def unit_indices(units: str | None) -> list[int] | None:
    """`3,7,20:30` as indices. Raises ValueError for anything else."""
    if units is None:
        return None
    indices = [index for part in units.split(",") for index in _indices(part.strip(), units)]
    if not indices:
        raise ValueError(f"{units!r} names no unit")
    return indices


def _indices(part: str, units: str) -> range:
    """One of the parts between commas: an index, or the first and the end of a range."""
    match = _INDICES.fullmatch(part)
    if match is None:
        raise ValueError(f"units are indices such as 5, 0:100 or 3,7,20:30, not {units!r}")
    first, end = int(match[1]), int(match[2] or match[1])
    if max(first, end) > _HIGHEST:
        raise ValueError(f"no site has {max(first, end):,} units: {units!r} is too high")
    return range(first, end) if match[2] else range(first, first + 1)
