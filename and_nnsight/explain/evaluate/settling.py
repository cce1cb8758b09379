"""Which scored claims hold: both answers of every row, settled over all claims of its source together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ...statistics.false_discovery import false_discovery_rates
from ..records.claim_rows import ScoreRow
from ..records.tables import Table


def settle(table: Table[ScoreRow], level: float) -> None:
    """Settle both answers of every row: q over all rows of its source that have a p, and whether it is ≤ level."""
    families: dict[str, list[ScoreRow]] = {}
    for row in table.rows():
        families.setdefault(row.source, []).append(row)
    for family in families.values():
        rates = _rates(family, [row.p for row in family])
        beyond = _rates(family, [row.p_beyond for row in family])
        settled = [_settled(*one, level) for one in zip(family, rates, beyond, strict=True)]
        table.add(row for row, before in zip(settled, family, strict=True) if row != before)


def _rates(family: Sequence[ScoreRow], p: Sequence[float | None]) -> list[float | None]:
    """The false-discovery rate of each row's p; None for a row that has none."""
    tested = [place for place, row in enumerate(family) if row.p is not None]
    rates: list[float | None] = [None] * len(family)
    of_tested = false_discovery_rates(np.array([p[place] for place in tested], dtype=np.float64)).tolist()
    for place, rate in zip(tested, of_tested, strict=True):
        rates[place] = rate
    return rates


def _settled(row: ScoreRow, q: float | None, q_beyond: float | None, level: float) -> ScoreRow:
    return replace(
        row,
        q=q,
        q_beyond=q_beyond,
        predicts=q is not None and q <= level,
        beyond_acoustics=q_beyond is not None and q_beyond <= level,
        level=level,
    )
