"""Which scored claims hold: both answers of every row, settled over all claims of its source together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..records.tables import Row, Table
from .false_discovery import false_discovery_rates


def settle(table: Table, level: float) -> None:
    """Settle both answers of every row: q over all rows of its source that have a p, and whether it is ≤ level."""
    families: dict[str, list[Row]] = {}
    for row in table.rows():
        families.setdefault(row["source"], []).append(row)
    for family in families.values():
        tested = [row for row in family if row["p"] is not None]
        rates = zip(_rates(tested, "p"), _rates(tested, "p_beyond"), strict=True)
        settled = [row | _answers(*rates_of_row, level) for row, rates_of_row in zip(tested, rates, strict=True)]
        untested = [row for row in family if row["p"] is None]
        settled += [row | _answers(None, None, level) for row in untested]
        table.add(row for row, before in zip(settled, [*tested, *untested], strict=True) if row != before)


def _rates(rows: Sequence[Row], name: str) -> list[float]:
    return false_discovery_rates(np.array([row[name] for row in rows], dtype=np.float64)).tolist()


def _answers(q: float | None, q_beyond: float | None, level: float) -> Row:
    return {
        "q": q,
        "q_beyond": q_beyond,
        "predicts": q is not None and q <= level,
        "beyond_acoustics": q_beyond is not None and q_beyond <= level,
        "level": level,
    }
