"""The tables of `explanations/`: written row by row so that a crash loses only what is in flight, Parquet when done.

A table belongs to the settings it was made with. Asked for with the same settings, its rows are there already and only
the rest is made; asked for with others, the earlier table is put aside under `explanations/earlier/` and comes back
when its settings are asked for again. Nothing that was paid for is thrown away.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import pyarrow as arrow
import pyarrow.parquet as parquet

from ...dissection.dissection import Dissection, DissectionError
from ...storage import locked, read_parquet, writing, written_whole
from ...storage import undamaged as damage_told
from ...wording import command

_SETTINGS = b"and_nnsight.settings"
_SOURCES = {"concepts": "calibrated"}  # a unit of which nothing is left after the calibration has no words
Row = dict[str, Any]
Key = tuple[Any, ...]


class Table:
    """One table, open for writing. Use as a context manager: it is Parquet on leaving, also when interrupted.

    Rows are looked up by the values of their key columns; a row that comes again replaces the earlier one.
    """

    def __init__(
        self,
        found: Dissection | Path,
        name: str,
        schema: arrow.Schema,
        key: Sequence[str],
        settings: Mapping[str, Any],
    ) -> None:
        """`found` is the dissection that the table is of, or the folder of a table that belongs to none."""
        self.folder = found.folder / "explanations" if isinstance(found, Dissection) else found
        self.name, self.schema, self.key = name, schema, tuple(key)
        self.settings = json.dumps(dict(settings), sort_keys=True, default=str)
        self._rows: dict[Key, Row] = {}
        self._changed = False
        self._journal: IO[str] | None = None
        self._lock: IO[bytes] | None = None

    @property
    def path(self) -> Path:
        """Where the finished table is."""
        return self.folder / f"{self.name}.parquet"

    @property
    def _journal_path(self) -> Path:
        return self.folder / f".{self.name}-{_hash(self.settings)}.jsonl"

    def _earlier(self, settings: str) -> Path:
        return self.folder / "earlier" / f"{self.name}-{_hash(settings)}.parquet"

    def __enter__(self) -> Table:
        """Read what is there of these settings. Raises DissectionError if another process has the table open."""
        self.folder.mkdir(exist_ok=True)
        try:
            self._lock = locked(self._lock_path)
        except BlockingIOError as error:
            raise DissectionError(f"another process is writing {self.name} in {self.folder}") from error
        try:
            self._open()
        except BaseException:
            self._unlock()
            raise
        return self

    def _open(self) -> None:
        """Read the rows of these settings: from the table, or from the one that was put aside. Nothing is moved yet."""
        earlier = self._earlier(self.settings)
        source = self.path if self._is_current() else earlier if earlier.exists() else None
        if source is not None:
            self._take(_read(source).to_pylist())
        if self._journal_path.exists():
            self._take(_journalled(self._journal_path))
            self._changed = True

    def _is_current(self) -> bool:
        return self.path.exists() and _settings(self.path) == self.settings

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
            theirs = self._earlier(_settings(self.path))
            theirs.parent.mkdir(exist_ok=True)
            self.path.replace(theirs)
        if ours.exists() and not self._changed:
            ours.replace(self.path)
            return
        rows = sorted(self._rows.values(), key=lambda row: tuple(_sortable(row[name]) for name in self.key))
        table = arrow.Table.from_pylist(rows, self.schema)
        metadata = {**(self.schema.metadata or {}), _SETTINGS: self.settings.encode()}
        with written_whole(self.path) as temporary, temporary.open("wb") as file:
            parquet.write_table(table.replace_schema_metadata(metadata), file)
        ours.unlink(missing_ok=True)

    @property
    def _lock_path(self) -> Path:
        return self.folder / f".{self.name}.lock"

    def _unlock(self) -> None:
        if self._lock is not None:
            self._lock_path.unlink(missing_ok=True)
            self._lock.close()
            self._lock = None

    def add(self, rows: Iterable[Row]) -> None:
        """Take in rows; they survive a crash from here on."""
        rows = [{name: _encodable(value) for name, value in row.items()} for row in rows]
        if not rows:
            return
        if self._journal is None:
            self._journal = self._journal_path.open("a", encoding="utf-8")
            if self._journal.tell():
                self._journal.write("\n")  # a crash may have cut the last line: the next row must not be glued to it
        with writing(self._journal_path):
            self._journal.write("".join(json.dumps(row) + "\n" for row in rows))
            self._journal.flush()
            os.fsync(self._journal.fileno())
        self._take(rows)
        self._changed = True

    def remove(self, keys: Iterable[Key]) -> None:
        """Drop rows that what stands upstream no longer gives."""
        for key in keys:
            self._changed |= self._rows.pop(key, None) is not None

    def __contains__(self, key: Key) -> bool:
        return key in self._rows

    def __getitem__(self, key: Key) -> Row:
        return self._rows[key]

    def get(self, key: Key) -> Row | None:
        """The row of a key; None if there is none."""
        return self._rows.get(key)

    def __len__(self) -> int:
        return len(self._rows)

    def rows(self) -> list[Row]:
        """Every row."""
        return list(self._rows.values())

    def _take(self, rows: Iterable[Row]) -> None:
        for row in rows:
            self._rows[tuple(row[name] for name in self.key)] = row


def read_table(found: Dissection, name: str) -> list[Row]:
    """The rows of a finished table. Raises DissectionError if that step has not been run."""
    path = found.folder / "explanations" / f"{name}.parquet"
    if not path.exists():
        raise DissectionError(f"{found.folder} has no {name} yet: run `{command('explain', found.folder)}` first")
    return _read(path).to_pylist()


def unit_rows(found: Dissection, name: str, site: str, unit: int) -> list[Row]:
    """The rows of one unit in a table that is keyed by site and unit; none if that step has not been run of it.

    Of a unit that the table does not speak of, those of the latest table that was put aside and does.
    """
    paths, wanted = _with_earlier(found, name), [("site", "=", site), ("unit", "=", unit)]
    if (source := _source(found, name)) is not None and len(_read(source, filters=wanted)):
        paths = [path for path in paths if path.parent == source.parent]
    return next((rows for path in paths if (rows := _read(path, filters=wanted).to_pylist())), [])


def rows_of_every_unit(found: Dissection, name: str) -> list[Row]:
    """The rows of a table that is keyed by site and unit, and of units that it does not speak of as `unit_rows`."""
    rows: list[Row] = []
    known: set[tuple[str, int]] = set()
    source = _source(found, name)
    for path in _with_earlier(found, name):
        if source is not None and path.parent != source.parent:
            known |= _units_of(source)
        new = [row for row in _read(path).to_pylist() if (row["site"], row["unit"]) not in known]
        known.update((row["site"], row["unit"]) for row in new)
        rows += new
    return rows


def units_aside(found: Dissection, name: str) -> int:
    """Of how many units only tables that were put aside speak: they were made with other settings."""
    now, *earlier = [_units_of(path) for path in _with_earlier(found, name)] or [set[tuple[str, int]]()]
    return len(set().union(*earlier) - now)


def _source(found: Dissection, name: str) -> Path | None:
    """The table that says of which units there may be rows, where one that has none is no sign of not being asked."""
    path = found.folder / "explanations" / f"{_SOURCES.get(name, '')}.parquet"
    return path if name in _SOURCES and path.exists() else None


def _with_earlier(found: Dissection, name: str) -> list[Path]:
    """The table, and those of other settings that were put aside, the latest first."""
    folder = found.folder / "explanations"
    earlier = [path for path in (folder / "earlier").glob(f"{name}-*.parquet") if path.stem.rpartition("-")[0] == name]
    earlier.sort(key=lambda path: (-path.stat().st_mtime_ns, path.name))
    return [path for path in (folder / f"{name}.parquet", *earlier) if path.exists()]


def _units_of(path: Path) -> set[tuple[str, int]]:
    rows = _read(path, columns=["site", "unit"]).to_pylist()
    return {(row["site"], row["unit"]) for row in rows}


def clip_rows(found: Dissection, name: str, clips: Iterable[int]) -> list[Row]:
    """The rows of some clips in a table that is keyed by clip; none if that step has not been run."""
    path = found.folder / "explanations" / f"{name}.parquet"
    return _read(path, filters=[("clip", "in", list(clips))]).to_pylist() if path.exists() else []


def has_table(found: Dissection, name: str) -> bool:
    """Whether a step has been run."""
    return (found.folder / "explanations" / f"{name}.parquet").exists()


def table_settings(found: Dissection, name: str) -> dict[str, Any]:
    """The settings that a finished table was made with; empty if there is none."""
    path = found.folder / "explanations" / f"{name}.parquet"
    return json.loads(_settings(path) or "{}") if path.exists() else {}


def _read(path: Path, **options: Any) -> arrow.Table:
    with undamaged(path):
        return read_parquet(path, **options)


def _settings(path: Path) -> str:
    return (_read_metadata(path).get(_SETTINGS) or b"").decode()


def _read_metadata(path: Path) -> Mapping[bytes, bytes]:
    with undamaged(path), arrow.OSFile(str(path)) as file:
        return parquet.read_schema(file).metadata or {}


@contextmanager
def undamaged(path: Path) -> Iterator[None]:
    """Raise DissectionError where a Parquet file is not one, or not whole, or lacks columns that are asked for."""
    with damage_told(path, "remove it to make it again", DissectionError):
        yield


def _journalled(path: Path) -> Iterator[Row]:
    for line in path.read_text(encoding="utf-8").split("\n"):
        with suppress(ValueError):  # the last line may have been cut by a crash
            if line:
                yield json.loads(line)


def _hash(settings: str) -> str:
    return hashlib.blake2b(settings.encode(), digest_size=6).hexdigest()


def _sortable(value: Any) -> tuple[bool, Any]:
    return (value is not None, value if value is not None else 0)


def _encodable(value: Any) -> Any:
    """Text without lone surrogates, which a damaged file or a model may give and UTF-8 has no place for."""
    return value.encode("utf-8", "replace").decode("utf-8") if isinstance(value, str) else value
