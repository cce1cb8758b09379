"""What is known of each clip while a run is in progress: a file of lines a checkpoint, each with its checksum."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..dissection.errors import DissectionError
from ..storage import as_json, short_hash, written_whole


class Segments:
    """Rows of a kind, in the order in which they came: `progress/clips-000000.jsonl` and so on.

    Each file ends with a checksum of its rows; `digest` is one of all files so far, which a checkpoint keeps, so that
    a whole file of another run is noticed as well.
    """

    def __init__(self, folder: Path, remedy: str) -> None:
        self.folder, self._remedy = folder, remedy
        self.count = 0
        self.digest = ""

    def append(self, rows: Sequence[tuple[str, dict[str, Any]]]) -> None:
        """Write rows, each with the name of its kind, to a file of their own."""
        content = b"".join(as_json(row) + b"\n" for row in rows)
        checksum = _checksum(self.count, content)
        with written_whole(self._path(self.count)) as path:
            path.write_bytes(content + as_json(["end", checksum]) + b"\n")
        self.count += 1
        self.digest = _next(self.digest, checksum)

    def restore(self, count: int, digest: str) -> None:
        """Go on after so many files. Raises DissectionError unless they are those that were written."""
        self.count, self.digest = 0, ""
        for index in range(count):
            content = self._content(index)
            self.count, self.digest = index + 1, _next(self.digest, _checksum(index, content))
        if self.digest != digest:
            raise DissectionError(f"{self.folder} holds lists of clips that this run did not write: {self._remedy}")

    def rows(self, kind: str) -> Iterator[dict[str, Any]]:
        """The rows of a kind. Raises DissectionError for a file that is not what was written."""
        for index in range(self.count):
            lines = (json.loads(line) for line in self._content(index).split(b"\n")[:-1])
            yield from (row for name, row in lines if name == kind)

    def _path(self, index: int) -> Path:
        return self.folder / f"clips-{index:06}.jsonl"

    def _content(self, index: int) -> bytes:
        """The lines of a file. Raises DissectionError if it is not what was written."""
        path = self._path(index)
        try:
            content, end = path.read_bytes().removesuffix(b"\n").rsplit(b"\n", 1)
            content += b"\n"
            whole = json.loads(end) == ["end", _checksum(index, content)]
        except (OSError, ValueError):
            whole, content = False, b""
        if not whole:
            raise DissectionError(f"{path} is cut off or changed: {self._remedy}")
        return content


def _checksum(index: int, content: bytes) -> str:
    return short_hash(b"%d\n" % index + content)


def _next(digest: str, checksum: str) -> str:
    return short_hash(f"{digest} {checksum}")
