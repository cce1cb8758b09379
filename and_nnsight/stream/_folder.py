"""Clips from a folder of audio, or from one file."""

from __future__ import annotations

import csv
import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from and_nnsight.stream._items import Item

EXTENSIONS = frozenset({".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aiff", ".aif"})


@dataclass(frozen=True)
class _Row:
    file: str  # posix, relative to the folder
    label: str | None
    caption: str | None


class FolderSource:
    """A folder of audio, in the order of its metadata file, else of the files' relative posix paths."""

    kind = "folder"
    split = None

    def __init__(self, root: Path, label_column: str | None, caption_column: str | None, limit: int | None) -> None:
        self.root = Path.cwd() / root  # not resolved: a link the user gave stays the name in the paths
        self.name = str(root)
        self._metadata = _metadata_file(root)
        if self._metadata is None:
            for column in (label_column, caption_column):
                if column is not None:
                    raise ValueError(f"no column {column!r}: {root} has no metadata.csv or metadata.jsonl")
            self._rows = _scan(root)
        else:
            self._rows = _read_metadata(self._metadata, label_column, caption_column)
        self.length = len(self._rows) if limit is None else min(limit, len(self._rows))

    @property
    def fingerprint(self) -> str:
        """Of the metadata, and of every file's path, size and time of change."""
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        digest = hashlib.sha256(self._metadata.read_bytes() if self._metadata else b"")
        for row in self._rows:
            digest.update(_signature(self.root / row.file, row.file))
        return digest.hexdigest()[:16]

    def items(self, start: int = 0) -> Iterator[Item]:
        """The clips from position `start` on; a file that is missing is an item whose decoding fails."""
        for position, row in islice(enumerate(self._rows), start, self.length):
            path = str(self.root / row.file)
            yield Item(position, path, _printable(path), row.label, row.caption)


def _printable(path: str) -> str:
    """The path as text that can be written: file names need not be UTF-8."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


class FileSource:
    """One audio file."""

    kind = "file"
    split = None

    def __init__(self, path: Path, limit: int | None) -> None:
        self.name = str(path)
        self._path = Path.cwd() / path
        self.length = 1 if limit is None else min(limit, 1)

    @property
    def fingerprint(self) -> str:
        """Of its name, size and time of change."""
        return hashlib.sha256(_signature(self._path, self._path.name)).hexdigest()[:16]

    def items(self, start: int = 0) -> Iterator[Item]:
        """The one clip."""
        if start < self.length:
            yield Item(0, str(self._path), str(self._path))


def _signature(path: Path, name: str) -> bytes:
    try:
        state = path.stat()
    except OSError:
        return f"{name}\0missing\n".encode("utf-8", "surrogateescape")
    return f"{name}\0{state.st_size}\0{state.st_mtime_ns}\n".encode("utf-8", "surrogateescape")


def _scan(root: Path) -> list[_Row]:
    """Every audio file below `root`, links to folders followed, hidden files and folders left out."""
    files: list[PurePosixPath] = []
    others: Counter[str] = Counter()
    above: dict[str, frozenset[tuple[int, int]]] = {}
    for folder, folders, names in os.walk(root, followlinks=True):
        state = os.stat(folder)  # noqa: PTH116  one call a folder
        ancestors = above.get(folder, frozenset()) | {(state.st_dev, state.st_ino)}
        kept: list[str] = []
        for name in folders:
            inner = os.stat(os.path.join(folder, name))  # noqa: PTH116, PTH118
            if not name.startswith(".") and (inner.st_dev, inner.st_ino) not in ancestors:  # else a link to its parent
                kept.append(name)
                above[os.path.join(folder, name)] = ancestors  # noqa: PTH118
        folders[:] = kept
        here = PurePosixPath(Path(folder).relative_to(root).as_posix())
        for name in names:
            if name.startswith("."):
                continue
            if PurePosixPath(name).suffix.lower() in EXTENSIONS:
                files.append(here / name)
            else:
                others[PurePosixPath(name).suffix.lower() or "no extension"] += 1
    if not files:
        found = ", ".join(f"{count} × {kind}" for kind, count in others.most_common(5)) or "nothing"
        raise ValueError(f"{root} holds no audio ({' '.join(sorted(EXTENSIONS))}); it holds {found}")
    return [_Row(str(file), file.parent.name or None, None) for file in sorted(files, key=str)]


def _metadata_file(root: Path) -> Path | None:
    found = [root / name for name in ("metadata.csv", "metadata.jsonl") if (root / name).is_file()]
    if len(found) > 1:
        raise ValueError(f"{root} holds both metadata.csv and metadata.jsonl: keep one")
    return found[0] if found else None


def _read_metadata(file: Path, label_column: str | None, caption_column: str | None) -> list[_Row]:
    rows: list[_Row] = []
    seen: dict[str, None] = {}
    for line, row in _metadata_rows(file):
        seen.update(dict.fromkeys(map(str, row)))
        name = row.get("file_name")
        if not isinstance(name, str) or not name:
            raise ValueError(f"{file}, row {line}: no file_name; the columns are {', '.join(map(str, row)) or 'none'}")
        relative = PurePosixPath(name)
        if relative.is_absolute() or ".." in relative.parts or PureWindowsPath(name).drive:
            raise ValueError(f"{file}, row {line}: {name!r} lies outside of the folder")
        label, caption = (_text(row.get(column)) for column in (label_column or "label", caption_column or "caption"))
        rows.append(_Row(str(relative), label, caption))
    if not rows:
        raise ValueError(f"{file} has no rows")
    for column in (label_column, caption_column):
        if column is not None and column not in seen:
            raise ValueError(f"no column {column!r} in {file}; the columns are {', '.join(seen)}")
    if label_column is None and "label" not in seen:
        return [replace(row, label=PurePosixPath(row.file).parent.name or None) for row in rows]
    return rows


def _metadata_rows(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(row number, row), both formats read as UTF-8."""
    line = 0
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            if file.suffix == ".csv":
                for line, row in enumerate(csv.DictReader(stream), 1):
                    yield line, {key: value for key, value in row.items() if key is not None}
                return
            for line, content in enumerate(stream, 1):
                if content.strip():
                    row = json.loads(content)
                    if not isinstance(row, dict):
                        raise ValueError("not a JSON object")
                    yield line, row
    except (csv.Error, ValueError) as error:  # ValueError: not UTF-8, or not JSON
        raise ValueError(f"{file}, row {line}: cannot be read: {error}") from error


def _text(value: Any) -> str | None:
    return None if value is None or value == "" else str(value)
