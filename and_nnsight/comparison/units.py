"""The rows of units: how each stands, with its counterpart, and what is said of both."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64

from ..statistics.false_discovery import false_discovery_rates
from .matching import Counterparts
from .responses import Responses
from .rows import ALONE, MATCHED, SHARED, UNDECIDED, UNTESTED, ComparedUnitRow
from .sides import Side, words_of

LEVEL = 0.05
"""False-discovery rate of what is said."""


@dataclass(frozen=True)
class Tested:
    """One side with what was made of it. `found` None: nothing could be tested, since either has no unit for it."""

    side: Side
    responses: Responses
    found: Counterparts | None


def unit_rows(first: Tested, second: Tested, least: float) -> list[ComparedUnitRow]:
    """The rows of both, the first's first, in forward order."""
    if first.found is None or second.found is None:
        why = _nothing(first if not len(first.responses) else second)
        return [*_rows(first, second, {}, why), *_rows(second, first, {}, why)]
    p = [first.found.p, second.found.p, first.found.interval.p_below, second.found.interval.p_below]
    q = np.split(false_discovery_rates(np.concatenate(p)), np.cumsum([len(part) for part in p])[:-1])
    ours = _columns(first, second, (q[0], q[2]), least)
    theirs = _columns(second, first, (q[1], q[3]), least)
    return [*_rows(first, second, ours), *_rows(second, first, theirs)]


def _nothing(empty: Tested) -> str:
    return f"no unit of the {empty.side.name} dissection can be compared"


def _columns(
    mine: Tested, other: Tested, q: tuple[Float64[np.ndarray, " unit"], Float64[np.ndarray, " unit"]], least: float
) -> dict[tuple[str, int], dict[str, Any]]:
    """The columns of the units that were tested, by unit."""
    found, back = mine.found, other.found
    if found is None or back is None:
        return {}
    mutual = back.other[found.other] == np.arange(len(found.other))
    likeness = found.correlation >= least
    holds, alone = (q[0] <= LEVEL) & likeness, (q[1] <= LEVEL) & ~likeness
    standing = np.select([holds & mutual, holds, alone], [MATCHED, SHARED, ALONE], UNDECIDED)
    values = {
        "standing": standing.tolist(),
        "correlation": found.correlation.round(6).tolist(),
        "low": found.interval.low.tolist(),
        "high": found.interval.high.tolist(),
        "p": found.p.tolist(),
        "q": q[0].tolist(),
        "p_alone": found.interval.p_below.tolist(),
        "q_alone": q[1].tolist(),
        "in_place": found.in_place.round(6).tolist(),
        "at": [other.responses.units[number] for number in found.other.tolist()],
    }
    rows = (dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True))
    return dict(zip(mine.responses.units, rows, strict=True))


def _rows(
    mine: Tested, other: Tested, columns: dict[tuple[str, int], dict[str, Any]], why: str | None = None
) -> Iterator[ComparedUnitRow]:
    for at, row in mine.side.units.items():
        words, source = words_of(row)
        about = {
            "evidence": row.evidence, "words": words, "words_from": source, "best_clip": row.best_clip,
            "best_path": row.best_path,
        }  # fmt: skip
        known = dict(columns.get(at, {}))
        if not known:
            reason = mine.responses.untested.get(at, why)
            yield ComparedUnitRow(mine.side.name, *at, UNTESTED, reason, **about)
            continue
        counterpart: tuple[str, int] = known.pop("at")
        theirs = other.side.units[counterpart]
        known |= {name: None if known[name] != known[name] else known[name] for name in ("low", "high", "in_place")}
        yield ComparedUnitRow(
            mine.side.name, *at, **known, **about,
            other_site=counterpart[0], other_unit=counterpart[1], other_evidence=theirs.evidence,
            shared_clips=len(mine.side.exemplars[at] & other.side.exemplars[counterpart]),
            other_words=words_of(theirs)[0],
        )  # fmt: skip
