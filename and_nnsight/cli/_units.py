"""Units as they are named on the command line."""

from __future__ import annotations

import re

_HIGHEST = 10_000_000
_UNITS = re.compile(r"(\d+)(?::(\d+))?")


def unit_indices(units: str | None) -> list[int] | None:
    """`3,7,20:30` as indices. Raises ValueError for anything else."""
    if units is None:
        return None
    chosen: list[int] = []
    for part in units.split(","):
        found = _UNITS.fullmatch(part.strip())
        if found is None:
            raise ValueError(f"units are indices such as 5, 0:100 or 3,7,20:30, not {units!r}")
        first, last = int(found[1]), int(found[2] or found[1])
        if max(first, last) > _HIGHEST:
            raise ValueError(f"no site has {max(first, last):,} units: {units!r} is too high")
        chosen += range(first, last) if found[2] else [first]
    if not chosen:
        raise ValueError(f"{units!r} names no unit")
    return chosen
