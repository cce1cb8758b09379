"""Tables as files of others: CSV whose cells stay text, and JSON without what JSON has no word for."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .decimals import fifteen_digits, shortest

if TYPE_CHECKING:
    import pyarrow as arrow

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def write_csv(table: arrow.Table, path: Path) -> None:
    """A table as CSV in UTF-8, a header first; None is empty, lists are JSON.

    Text that a spreadsheet would take for a formula (it begins with = + - @ or a control character) gets a ' before it,
    as spreadsheets themselves mark text. Numbers stay numbers.
    """
    with path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(map(_cell, table.column_names))
        for batch in table.to_batches():
            columns = [_cells(column) for column in batch.columns]
            writer.writerows(zip(*columns, strict=True))


def _cells(column: arrow.Array) -> list[Any]:
    values = column.to_pylist()
    if str(column.type) == "float":  # of 32 bits
        return [None if value is None else shortest(value) for value in values]
    return [_cell(value) for value in values]


def _cell(value: Any) -> Any:
    if isinstance(value, float):
        return fifteen_digits(value)
    if isinstance(value, list):
        value = json.dumps(value, ensure_ascii=False)
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def plain(value: Any) -> Any:
    """A value as JSON takes it: numbers that are not finite become null, others have 15 digits."""
    if isinstance(value, dict):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    if isinstance(value, float):
        return fifteen_digits(value) if math.isfinite(value) else None
    return value
