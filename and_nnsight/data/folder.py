"""Clips from a folder of audio, or from one file."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cached_property
from itertools import islice
from pathlib import Path

from .file_signatures import file_signature
from .items import Columns, Item, Unusable, Unused
from .metadata import Row, folder_name, metadata_file, read_metadata
from .scan import audio_files, scan
from .text import printable

__all__ = ["FileSource", "FolderSource"]


class FolderSource:
    """A folder of audio, in the order of its metadata file, else of the files' relative posix paths."""

    kind = "folder"
    split = None

    def __init__(self, root: Path, columns: Columns, limit: int | None) -> None:
        self.root = Path.cwd() / root  # not resolved: a link the user gave stays the name in the paths
        self.name = str(root)
        self._metadata = metadata_file(root)
        if self._metadata is None:
            if columns.named:
                raise ValueError(f"no column {columns.named[0]!r}: {root} has no metadata.csv or metadata.jsonl")
            self._rows = [Row(file, folder_name(file), None) for file in audio_files(root)]
        else:
            self._rows = read_metadata(self._metadata, columns)
        self.length = len(self._rows) if limit is None else min(limit, len(self._rows))

    @property
    def fingerprint(self) -> str:
        """Of the metadata, and of every file's path, size, time of change and samples."""
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        digest = hashlib.sha256(self._metadata.read_bytes() if self._metadata else b"")
        for row in self._rows:
            if row.file is not None:
                digest.update(file_signature(self.root / row.file, row.file))
        return digest.hexdigest()[:16]

    @property
    def unused(self) -> tuple[Unused, ...]:
        """What lies below the folder and is no clip, by reason."""
        return self._unused

    @cached_property
    def _unused(self) -> tuple[Unused, ...]:
        if self._metadata is None:
            return scan(self.root).unused()
        listed = {row.file for row in self._rows if row.file is not None}
        return scan(self.root).unused(listed, self._metadata.name)

    def items(self, start: int = 0) -> Iterator[Item]:
        """The clips from position `start` on; a file that is missing is an item whose decoding fails."""
        for position, row in islice(enumerate(self._rows), start, self.length):
            if row.file is None:
                name = self._metadata.name if self._metadata else ""
                reason = f"{name}, row {row.number}, names no file"
                yield Item(position, Unusable(reason), None, row.label, row.caption, words=row.words)
                continue
            path = str(self.root / row.file)
            yield Item(position, path, printable(path), row.label, row.caption, words=row.words)


class FileSource:
    """One audio file."""

    kind = "file"
    split = None
    unused: tuple[Unused, ...] = ()

    def __init__(self, path: Path, limit: int | None) -> None:
        self.name = str(path)
        self._path = Path.cwd() / path
        self.length = 1 if limit is None else min(limit, 1)

    @property
    def fingerprint(self) -> str:
        """Of its name, size, time of change and samples."""
        return hashlib.sha256(file_signature(self._path, self._path.name)).hexdigest()[:16]

    def items(self, start: int = 0) -> Iterator[Item]:
        """The one clip."""
        if start < self.length:
            yield Item(0, str(self._path), printable(self._path))
