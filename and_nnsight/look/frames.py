"""What a notebook shows of rows: the first of them as a table, every value escaped and shortened."""

from __future__ import annotations

from typing import Any

from ..dissection.rows import Rows, Tables
from ..explain.read.search import Matches
from .notebook import rendered

MOST_ROWS = 10


def rows_html(rows: Rows[Any] | Tables | Matches) -> str:
    """The first rows, and how many more there are."""
    frame = rows.to_pandas()
    first = frame.head(MOST_ROWS)
    empty = first.isna().all()
    columns = [name for name in first.columns if not empty.loc[name]]
    rows_of_first = first[columns].astype(object).itertuples(index=False)
    return rendered(
        "notebook_frame",
        title=repr(rows),
        columns=columns,
        rows=[[_text(value) for value in row] for row in rows_of_first],
        more=max(0, len(frame) - MOST_ROWS),
    )


def _text(value: Any) -> str:
    if isinstance(value, float):
        return "" if value != value else f"{value:.4g}"
    return "" if value is None else str(value)
