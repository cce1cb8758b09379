"""`export`: a dissection in the formats of others."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pyarrow as arrow
import pyarrow.parquet as parquet

from ..dissection.dissection import Dissection
from ..dissection.errors import DissectionError
from ..dissection.rows import Rows
from ..dissection.table_files import write_csv
from ..explain.records.reading import ROWS, has_table, read_table
from ..storage import make_folder, written_whole
from .exemplar_rows import exemplar_table
from .unit_table import unit_table


def export(dissection: Dissection, to: str, out: str | Path, *, sites: str | Iterable[str] | None = None) -> list[Path]:
    """Write a dissection in a format that others read; the files that were written.

    to     parquet or csv: the tables `units` (a row a unit), `exemplars` (a row a place in a unit's list), `clips`, and
           every table of explanations, each TABLE.parquet or TABLE.csv in the folder `out`
    sites  units of these only (names or globs); None: all

    Raises ValueError for a format that is not there; DissectionError for a pattern that matches no site, for a folder
    that holds a dissection, whose own clips.parquet one of the tables would replace, and for one that holds a file of a
    table's name that no export wrote.
    """
    if to not in FORMATS:
        raise ValueError(f"unknown format {to!r}: one of {', '.join(FORMATS)}")
    folder = Path(out).expanduser()
    if (folder / "manifest.json").exists():
        raise DissectionError(f"{folder} holds a dissection: choose another folder for its tables")
    units = unit_table(dissection, sites)
    tables: list[Rows[Any]] = [units, exemplar_table(dissection, sites), *tables_beside(dissection, units)]
    paths = [folder / f"{table.kind.table}.{to}" for table in tables]
    for table, path in zip(tables, paths, strict=True):
        _refuse_other(path, table, to)
    make_folder(folder)
    written = []
    for table, path in zip(tables, paths, strict=True):
        with written_whole(path) as temporary:
            FORMATS[to](table.kind.to_arrow(table), temporary)
        written.append(path)
    return written


def tables_beside(dissection: Dissection, units: Rows[Any]) -> Iterable[Rows[Any]]:
    """The clips, and the tables of explanations, of these units."""
    clips = list(dissection.clips.values())
    yield Rows(clips, type(clips[0]))
    known = {row.key_values for row in units}
    for name in ROWS:
        if has_table(dissection, name):
            rows = read_table(dissection, name)
            of_units = {"site", "unit"} <= set(rows.kind.__dataclass_fields__)
            yield Rows((row for row in rows if not of_units or (row.site, row.unit) in known), rows.kind)


def _refuse_other(path: Path, table: Rows[Any], to: str) -> None:
    """Raise DissectionError where a file is there that an earlier export did not write: its columns are others."""
    if path.exists() and _columns(path, to) != table.kind.to_arrow([]).column_names:
        raise DissectionError(f"{path} is there, and is no such table of an earlier export: choose another folder")


def _columns(path: Path, to: str) -> list[str] | None:
    """The names of a file's columns; None where it cannot be read as a table."""
    try:
        if to == "parquet":
            return list(parquet.read_schema(path).names)
        with path.open(newline="", encoding="utf-8") as file:
            return next(csv.reader(file), None)
    except (arrow.ArrowException, UnicodeError, csv.Error):
        return None


def _write_parquet(table: arrow.Table, path: Path) -> None:
    with path.open("wb") as file:
        parquet.write_table(table, file)


FORMATS: dict[str, Callable[[arrow.Table, Path], None]] = {"parquet": _write_parquet, "csv": write_csv}
