"""A folder's metadata.csv or metadata.jsonl: which files are clips, in which order, and what is said of them."""

from __future__ import annotations

import csv
import json
import os
import unicodedata
import warnings
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, Any

from .items import Columns
from .text import encodable, printable, text

_LONGEST_LIST = 200  # of columns, in characters
_LONGEST_FIELD = 2**31 - 1  # what a C long holds everywhere
_END = "\x03and_nnsight"  # a last line: if it does not come as a row of its own, a quotation mark is open


@dataclass(frozen=True)
class Row:
    """One clip of a folder: its file (posix, relative; None where the row names none), and what is said of it."""

    file: str | None
    label: str | None
    caption: str | None
    number: int = 0
    words: Any = None


def metadata_file(root: Path) -> Path | None:
    """The folder's metadata, if it has any. Raises ValueError if it has both kinds, or what is called so is no file."""
    files = [root / name for name in ("metadata.csv", "metadata.jsonl") if os.path.lexists(root / name)]
    for file in files:
        if not file.is_file():
            raise ValueError(f"{file} is no file, or a link to none: remove it, or put the metadata there")
    if len(files) > 1:
        raise ValueError(f"{root} holds both metadata.csv and metadata.jsonl: keep one")
    return files[0] if files else None


def read_metadata(file: Path, columns: Columns) -> list[Row]:
    """The rows. Bytes that are no UTF-8 do not end the reading: they become �.

    Raises ValueError, naming file and row, for a row that cannot be read or names a file outside of the folder; also
    if there are no rows, or no such column.
    """
    rows: list[Row] = []
    names: dict[str, None] = {}
    foreign = 0
    for number, fields in _rows(file):
        names.update(dict.fromkeys(fields))
        if "file_name" not in names:
            there = encodable(", ".join(fields))[:_LONGEST_LIST] or "none"
            raise ValueError(f"{file}, row {number}: no file_name; the columns are {there}")
        label, caption = fields.get(columns.label_key), fields.get(columns.caption_key)
        foreign += _is_foreign(label, caption)
        place = _relative(file, number, fields.get("file_name"))
        words = None if columns.words is None else fields.get(columns.words)
        rows.append(Row(place, _words(label), _words(caption), number, words))
    if not rows:
        raise ValueError(f"{file} has no rows")
    _require_columns(file, names, columns)
    if foreign:
        warnings.warn(
            f"{foreign} of {len(rows)} rows of {file} hold text that is no valid Unicode, read as "
            "\N{REPLACEMENT CHARACTER}: if the file is not in UTF-8, save it so",
            stacklevel=5,
        )
    if columns.label is None and "label" not in names:
        return [replace(row, label=folder_name(row.file)) for row in rows]
    return rows


def _require_columns(file: Path, names: Collection[str], columns: Columns) -> None:
    for column in columns.named:
        if column not in names:
            raise ValueError(f"no column {column!r} in {file}; the columns are {', '.join(names)}")


def _words(value: Any) -> str | None:
    return text(value) or None


def _is_foreign(*values: Any) -> bool:
    """Whether one of the values is text that is no valid Unicode."""
    return any(isinstance(value, str) and encodable(value) != value for value in values)


def folder_name(file: str | None) -> str | None:
    """The name of the folder that a file lies in, as a label."""
    return None if file is None else printable(PurePosixPath(file).parent.name) or None


def _relative(file: Path, number: int, name: Any) -> str | None:
    """The file that a row names, relative to the folder; None where it names none."""
    if name is not None and not isinstance(name, str):
        raise ValueError(f"{file}, row {number}: file_name is {name!r}, which is no text")
    if not name:
        return None
    path = PurePosixPath(name)
    if "\\" in name and not os.path.lexists(file.parent / path):
        path = PurePosixPath(PureWindowsPath(name).as_posix())  # as Windows writes it
    if path.is_absolute() or ".." in path.parts or PureWindowsPath(name).drive:
        raise ValueError(f"{file}, row {number}: {encodable(name)!r} lies outside of the folder")
    return _as_it_lies(file.parent, str(path))


def _as_it_lies(folder: Path, name: str) -> str:
    """The name in the form of Unicode that the file has: macOS parts letters from their accents, others do not."""
    if name.isascii() or os.path.lexists(folder / name):
        return name
    others = (unicodedata.normalize(form, name) for form in ("NFC", "NFD"))
    return next((other for other in others if os.path.lexists(folder / other)), name)


def _rows(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(row number, row). The number counts a csv's rows below its header, and a jsonl's lines."""
    place = 1
    try:
        with file.open("rb") as beginning:
            encoding = _encoding(beginning.read(2))
        # File names need not be UTF-8: bytes that are not stand for themselves, as they do in paths.
        errors = "surrogateescape" if encoding == "utf-8-sig" else "strict"
        with file.open(encoding=encoding, errors=errors, newline="") as stream, _fields_of_any_length():
            for number, read in _csv_rows(stream) if file.suffix == ".csv" else _json_rows(stream):
                place = number
                row = read()
                place = number + 1
                yield number, row
    except (csv.Error, ValueError, RecursionError, OSError) as error:
        raise ValueError(f"{file}, row {place}: cannot be read: {error}") from error


def _encoding(beginning: bytes) -> str:
    """Of a file, by its first two bytes: UTF-8, or what spreadsheets call Unicode, with a mark or without."""
    if beginning in (b"\xff\xfe", b"\xfe\xff"):
        return "utf-16"
    if len(beginning) == 2 and 0 in beginning and any(beginning):
        return "utf-16-le" if beginning[1] == 0 else "utf-16-be"
    return "utf-8-sig"


def _csv_rows(stream: IO[str]) -> Iterator[tuple[int, Callable[[], dict[str, Any]]]]:
    number, header = 0, None
    first = stream.readline()
    for fields in csv.reader(chain([first], stream, [_END]), delimiter=_delimiter(first)):
        if fields == [_END]:
            return
        if not fields:  # an empty line
            continue
        if fields[-1].endswith(_END):
            raise ValueError("a quotation mark is opened here and never closed")
        if header is None:
            header = _header(fields)
            continue
        number += 1
        yield number, partial(_csv_row, header, fields)


def _delimiter(header: str) -> str:
    """What stands between the fields: spreadsheets of many countries write semicolons."""
    for mark in (";", "\t"):
        if "file_name" in [name.strip(' "\r\n') for name in header.split(mark)] and mark in header:
            return mark
    return ","


def _header(fields: list[str]) -> list[str]:
    """The names of the columns. Raises ValueError for two of one name."""
    names = [name.strip() for name in fields]
    twice = next((name for name in names if name and names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"it has several columns {twice!r}: rename them, or leave all but one out")
    return names


def _csv_row(header: list[str], fields: list[str]) -> dict[str, Any]:
    if any(fields[len(header) :]):
        raise ValueError(
            f"it has {len(fields)} fields, and the header {len(header)}: text that holds commas goes in quotation marks"
        )
    return dict(zip(header, fields, strict=False))


def _json_rows(stream: IO[str]) -> Iterator[tuple[int, Callable[[], dict[str, Any]]]]:
    for number, content in enumerate(stream, 1):
        if content.strip():
            yield number, partial(_json_row, content)


def _json_row(content: str) -> dict[str, Any]:
    try:
        row = json.loads(content, object_pairs_hook=_fields)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError("not JSON, of which each line is to be one object") from error
    if not isinstance(row, dict):
        raise ValueError("not a JSON object")
    return row


def _fields(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object. Raises ValueError for two fields of one name."""
    fields = dict(pairs)
    if len(fields) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"it has several fields {next(name for name in names if names.count(name) > 1)!r}")
    return fields


@contextmanager
def _fields_of_any_length() -> Iterator[None]:
    """The csv module's limit is one for the whole process: put it back."""
    before = csv.field_size_limit(_LONGEST_FIELD)
    try:
        yield
    finally:
        csv.field_size_limit(before)
