"""The tables of `explanations/`: written row by row so that a crash loses only what is in flight, Parquet when done.

A `Table` belongs to the settings it was made with. Asked for with the same settings, its rows are there already and
only the rest is made; asked for with others, the earlier table is put aside under `explanations/earlier/` and comes
back when its settings are asked for again. Nothing that was paid for is thrown away.

A `ColumnTable` has the rows of many settings side by side, a million of them: they come and go as columns.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Generic

import numpy as np
import pyarrow as arrow
import pyarrow.parquet as parquet

from ...dissection.dissection import Dissection
from ...dissection.errors import DissectionError
from ...dissection.rows import Rows
from ...dissection.table_row import RowT, TableRow
from ...storage import Lock, locked, make_folder, short_hash, writing, written_whole
from .reading import SETTINGS, read_arrow, read_rows, settings_text, table_path, undamaged

Key = tuple[Any, ...]


class _TableFile:
    """The Parquet file of a table, locked while it is open."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: Lock | None = None

    @property
    def folder(self) -> Path:
        """Where the table and what belongs to it are."""
        return self.path.parent

    @property
    def name(self) -> str:
        """Name of the table."""
        return self.path.stem

    def _hold(self) -> None:
        """Lock it. Raises DissectionError if another process has the table open."""
        make_folder(self.folder, DissectionError)
        try:
            self._lock = locked(self.folder / f".{self.name}.lock")
        except BlockingIOError as error:
            raise DissectionError(f"another process is writing {self.name} in {self.folder}") from error

    def _unlock(self) -> None:
        if self._lock is not None:
            self._lock.close(remove=True)
            self._lock = None

    def _write(self, table: arrow.Table) -> None:
        with written_whole(self.path) as temporary, temporary.open("wb") as file:
            parquet.write_table(table, file)


class Table(_TableFile, Generic[RowT]):
    """One table, open for writing. Use as a context manager: it is Parquet on leaving, also when interrupted.

    Rows are looked up by the values of their key columns; a row that comes again replaces the earlier one.
    """

    def __init__(self, place: Dissection | Path, row: type[RowT], settings: Mapping[str, Any]) -> None:
        """`place` is the dissection that the table of such rows is of, or the file of a table that belongs to none."""
        if isinstance(place, Dissection):
            place.check_writable()
        super().__init__(table_path(place, row.table) if isinstance(place, Dissection) else place)
        self.row = row
        self.settings = json.dumps(dict(settings), sort_keys=True, default=str)
        self._rows: dict[Key, RowT] = {}
        self._changed = False
        self._journal: IO[str] | None = None

    @property
    def _journal_path(self) -> Path:
        return self.folder / f".{self.name}-{short_hash(self.settings, 6)}.jsonl"

    def _earlier(self, settings: str) -> Path:
        return self.folder / "earlier" / f"{self.name}-{short_hash(settings, 6)}.parquet"

    def __enter__(self) -> Table[RowT]:
        """Read what is there of these settings. Raises DissectionError if another process has the table open."""
        self._hold()
        try:
            self._open()
        except BaseException:
            self._unlock()
            raise
        return self

    def _open(self) -> None:
        """Read the rows of these settings: from the table, or from the one that was put aside. Nothing is moved yet."""
        source = self.path if self._is_current() else self._earlier(self.settings)
        if source.exists():
            self._insert(read_rows(source, self.row))
        if self._journal_path.exists():
            self._insert(self._journalled())
            self._changed = True

    def _journalled(self) -> Iterator[RowT]:
        """The rows of a journal that a crash left."""
        for line in self._journal_path.read_text(encoding="utf-8").split("\n"):
            with suppress(ValueError):  # the last line may have been cut by a crash
                if line:
                    yield self.row.of_columns(json.loads(line))

    def _is_current(self) -> bool:
        return self.path.exists() and settings_text(self.path) == self.settings

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        """Write the Parquet file and drop the journal; a step that failed before its first row changes nothing."""
        try:
            if self._journal is not None:
                with writing(self._journal_path):
                    self._journal.close()
            if self._rows or kind is None:
                self._settle()
            self._journal_path.unlink(missing_ok=True)
        finally:
            self._unlock()

    def _settle(self) -> None:
        current, ours = self._is_current(), self._earlier(self.settings)
        if current and not self._changed:
            return
        if self.path.exists() and not current:
            theirs = self._earlier(settings_text(self.path))
            make_folder(theirs.parent, DissectionError)
            self.path.replace(theirs)
        if ours.exists() and not self._changed:
            ours.replace(self.path)
            return
        table = self.row.to_arrow(sorted(self._rows.values(), key=_order))
        self._write(table.replace_schema_metadata({SETTINGS: self.settings.encode()}))
        ours.unlink(missing_ok=True)

    def add(self, rows: Iterable[RowT]) -> None:
        """Take in rows; they survive a crash from here on."""
        rows = [row.encodable() for row in rows]
        if not rows:
            return
        if self._journal is None:
            self._journal = self._journal_path.open("a", encoding="utf-8")
            if self._journal.tell():
                self._journal.write("\n")  # a crash may have cut the last line: the next row must not be glued to it
        with writing(self._journal_path):
            self._journal.write("".join(json.dumps(row.columns()) + "\n" for row in rows))
            self._journal.flush()
            os.fsync(self._journal.fileno())
        self._insert(rows)
        self._changed = True

    def remove(self, keys: Iterable[Key]) -> None:
        """Drop rows that what stands upstream no longer gives."""
        for key in keys:
            self._changed |= self._rows.pop(key, None) is not None

    def __contains__(self, key: Key) -> bool:
        return key in self._rows

    def __getitem__(self, key: Key) -> RowT:
        return self._rows[key]

    def get(self, key: Key) -> RowT | None:
        """The row of a key; None if there is none."""
        return self._rows.get(key)

    def __len__(self) -> int:
        return len(self._rows)

    def rows(self) -> Rows[RowT]:
        """Every row."""
        return Rows(self._rows.values(), self.row)

    def _insert(self, rows: Iterable[RowT]) -> None:
        for row in rows:
            self._rows[row.key_values] = row


class ColumnTable(_TableFile):
    """A table whose rows come as columns and replace those of the same units and kind.

    Use as a context manager: what came is in the file on leaving, also when interrupted; where nothing came, nothing is
    written.
    """

    def __init__(self, dissection: Dissection, row: type[TableRow], kind: Mapping[str, str | None]) -> None:
        """`kind` are the values of the columns that tell the rows of one call from those of others."""
        dissection.check_writable()
        super().__init__(table_path(dissection, row.table))
        self.row, self.kind = row, kind
        self._new: list[arrow.Table] = []
        self._units: dict[str, Sequence[int]] = {}

    def __enter__(self) -> ColumnTable:
        """Raises DissectionError if another process has the table open."""
        self._hold()
        return self

    def replace(self, rows: arrow.Table, units: Mapping[str, Sequence[int]]) -> None:
        """Take in all rows of this kind of units, which are given by site."""
        self._new.append(rows)
        self._units.update(units)

    def rows(self) -> arrow.Table:
        """What came, in the order in which it came."""
        return arrow.concat_tables([self.row.schema().empty_table(), *self._new])

    def __exit__(self, *error: object) -> None:
        """Write the file."""
        try:
            if self._new:
                earlier = self._earlier()
                self._write(arrow.concat_tables([earlier.filter(arrow.array(~self._replaced(earlier))), *self._new]))
        finally:
            self._unlock()

    def _earlier(self) -> arrow.Table:
        schema = self.row.schema()
        if not self.path.exists():
            return schema.empty_table()
        with undamaged(self.path):
            return read_arrow(self.path).select(schema.names).cast(schema)

    def _replaced(self, rows: arrow.Table) -> np.ndarray:
        """Which of the earlier rows are of this kind and of units that came."""
        of_kind = np.ones(len(rows), dtype=bool)
        for name, value in self.kind.items():
            of_kind &= _numpy(rows[name]) == value
        sites, units, of_units = _numpy(rows["site"]), _numpy(rows["unit"]), np.zeros(len(rows), dtype=bool)
        for site, indices in self._units.items():
            of_units |= (sites == site) & np.isin(units, indices)
        return of_kind & of_units


def _numpy(column: arrow.ChunkedArray) -> np.ndarray:
    return column.to_numpy(zero_copy_only=False)


def _order(row: TableRow) -> tuple[tuple[bool, Any], ...]:
    """Rows are sorted by their keys, None first."""
    return tuple((value is not None, 0 if value is None else value) for value in row.key_values)
