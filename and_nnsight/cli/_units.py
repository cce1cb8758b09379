"""Units as they are named on the command line."""

from __future__ import annotations

import re

_HIGHEST = 10_000_000
_INDICES = re.compile(r"(\d+)(?::(\d+))?")


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
