"""Reads the tables of `explanations/`, those of earlier settings that were put aside among them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, overload

import pyarrow as arrow
import pyarrow.parquet as parquet

from ...dissection.dissection import Dissection
from ...dissection.errors import DissectionError
from ...dissection.next_step import run_first
from ...dissection.rows import Rows
from ...dissection.table_row import RowT, TableRow
from ...storage import read_parquet
from ...storage import undamaged as undamaged_file
from .acoustics import AcousticsRow
from .claim_rows import EffectRow, LabelRow, ListeningRow, ScoreRow
from .description_rows import CalibratedRow, CaptionRow, ConceptRow, RequestRow, SummaryRow, WordRow

SETTINGS = b"and_nnsight.settings"
ROWS: dict[str, type[TableRow]] = {
    row.table: row
    for row in (
        AcousticsRow, CalibratedRow, CaptionRow, ConceptRow, EffectRow, LabelRow, ListeningRow, RequestRow, ScoreRow,
        SummaryRow, WordRow,
    )
}  # fmt: skip
_SOURCES = {"concepts": "calibrated"}  # a unit of which nothing is left after the calibration has no words


@overload
def read_table(dissection: Dissection, table: type[RowT]) -> Rows[RowT]: ...
@overload
def read_table(dissection: Dissection, table: str) -> Rows[Any]: ...
def read_table(dissection: Dissection, table: type[TableRow] | str) -> Rows[Any]:
    """The rows of a finished table, given by its name or by the class of its rows.

    Raises DissectionError if that step has not been run, ValueError for a name that is no table's.
    """
    if isinstance(table, str):
        if table not in ROWS:
            raise ValueError(f"unknown table {table!r}: one of {', '.join(ROWS)}")
        table = ROWS[table]
    path = table_path(dissection, table.table)
    if not path.exists():
        raise DissectionError(f"{dissection.place} has no {table.table} yet: {run_first(dissection, 'explain')}")
    return Rows(read_rows(path, table), table)


def unit_rows(dissection: Dissection, table: type[RowT], site: str, unit: int) -> list[RowT]:
    """The rows of one unit in a table that is keyed by site and unit; none if that step has not been run of it.

    Of a unit that the table does not speak of, those of the latest table that was put aside and does.
    """
    paths, of_unit = _with_earlier(dissection, table.table), [("site", "=", site), ("unit", "=", unit)]
    source = _source(dissection, table.table)
    if source is not None and len(read_arrow(source, filters=of_unit)):
        paths = [path for path in paths if path.parent == source.parent]
    for path in paths:
        if rows := read_rows(path, table, filters=of_unit):
            return rows
    return []


def rows_of_every_unit(dissection: Dissection, table: type[RowT]) -> list[RowT]:
    """The rows of a table that is keyed by site and unit, and of units that it does not speak of as `unit_rows`."""
    rows: list[RowT] = []
    known: set[tuple[str, int]] = set()
    source = _source(dissection, table.table)
    for path in _with_earlier(dissection, table.table):
        if source is not None and path.parent != source.parent:
            known |= _units_of(source)
        new = [row for row in read_rows(path, table) if _unit_of(row) not in known]
        known.update(map(_unit_of, new))
        rows += new
    return rows


def units_aside(dissection: Dissection, name: str) -> int:
    """Of how many units only tables that were put aside speak: they were made with other settings."""
    now, *earlier = [_units_of(path) for path in _with_earlier(dissection, name)] or [set[tuple[str, int]]()]
    return len(set().union(*earlier) - now)


def clip_rows(dissection: Dissection, table: type[RowT], clips: Iterable[int]) -> list[RowT]:
    """The rows of some clips in a table that is keyed by clip; none if that step has not been run."""
    path = table_path(dissection, table.table)
    return read_rows(path, table, filters=[("clip", "in", list(clips))]) if path.exists() else []


def has_table(dissection: Dissection, name: str) -> bool:
    """Whether a step has been run."""
    return table_path(dissection, name).exists()


def table_settings(dissection: Dissection, name: str) -> dict[str, Any]:
    """The settings that a finished table was made with; empty if there is none."""
    path = table_path(dissection, name)
    return json.loads(settings_text(path) or "{}") if path.exists() else {}


def table_path(dissection: Dissection, name: str) -> Path:
    """Where a finished table is."""
    return dissection.folder / "explanations" / f"{name}.parquet"


def read_rows(path: Path, row: type[RowT], **options: Any) -> list[RowT]:
    """The rows of a Parquet file. Raises DissectionError where it is damaged or lacks columns."""
    with undamaged(path):
        return row.of_arrow(read_parquet(path, **options))


def read_arrow(path: Path, **options: Any) -> arrow.Table:
    """A Parquet file as columns. Raises DissectionError where it is damaged."""
    with undamaged(path):
        return read_parquet(path, **options)


def settings_text(path: Path) -> str:
    """The settings that a file carries, as JSON; empty if it carries none."""
    with undamaged(path), arrow.OSFile(str(path)) as file:
        metadata: Mapping[bytes, bytes] = parquet.read_schema(file).metadata or {}
    return (metadata.get(SETTINGS) or b"").decode()


@contextmanager
def undamaged(path: Path) -> Iterator[None]:
    """Raise DissectionError where a Parquet file is not one, or not whole, or lacks columns that are asked for."""
    with undamaged_file(path, "remove it to make it again", DissectionError):
        yield


def _source(dissection: Dissection, name: str) -> Path | None:
    """The table that says of which units there may be rows, where one that has none is no sign of not being asked."""
    if name not in _SOURCES:
        return None
    path = table_path(dissection, _SOURCES[name])
    return path if path.exists() else None


def _with_earlier(dissection: Dissection, name: str) -> list[Path]:
    """The table, and those of other settings that were put aside, the latest first."""
    current = table_path(dissection, name)
    aside = (current.parent / "earlier").glob(f"{name}-*.parquet")
    earlier = [path for path in aside if path.stem.rpartition("-")[0] == name]
    earlier.sort(key=lambda path: (-path.stat().st_mtime_ns, path.name))
    return [path for path in (current, *earlier) if path.exists()]


def _units_of(path: Path) -> set[tuple[str, int]]:
    with undamaged(path):
        rows = read_parquet(path, columns=["site", "unit"])
        return set(zip(rows["site"].to_pylist(), rows["unit"].to_pylist(), strict=True))


def _unit_of(row: Any) -> tuple[str, int]:
    return row.site, row.unit
