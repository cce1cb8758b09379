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
        rates = zip(_rates(family, "p"), _rates(family, "p_beyond"), strict=True)
        settled = [row | _answers(*of_row, level) for row, of_row in zip(family, rates, strict=True)]
        table.add(row for row, before in zip(settled, family, strict=True) if row != before)


def _rates(family: Sequence[Row], name: str) -> list[float | None]:
    """The false-discovery rate of each row's p; None for a row that has none."""
    tested = np.array([row["p"] is not None for row in family], dtype=bool)
    p = np.array([row[name] for row in family if row["p"] is not None], dtype=np.float64)
    rates = np.full(len(family), None, dtype=object)
    rates[tested] = false_discovery_rates(p).tolist()
    return rates.tolist()


def _answers(q: float | None, q_beyond: float | None, level: float) -> Row:
    return {
        "q": q,
        "q_beyond": q_beyond,
        "predicts": q is not None and q <= level,
        "beyond_acoustics": q_beyond is not None and q_beyond <= level,
        "level": level,
    }
