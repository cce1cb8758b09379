"""Rows on their way into a table: they wait a second at most, as a table is synced to disk at each writing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Generic

from ...dissection.table_row import RowT

_WRITE_SECONDS = 1.0


class RowBuffer(Generic[RowT]):
    """Use as a context manager: whatever stops what goes on in it, the rows that wait are written on leaving."""

    def __init__(self, write: Callable[[list[RowT]], None]) -> None:
        """`write` takes the rows, such as the `add` of a table."""
        self._write = write
        self._waiting: list[RowT] = []
        self._written = time.monotonic()

    def __enter__(self) -> RowBuffer[RowT]:
        return self

    def __exit__(self, *error: object) -> None:
        self._write(self._waiting)

    def add(self, rows: Iterable[RowT]) -> None:
        """Take rows in; writes what waits if the last writing is a second ago."""
        self._waiting += rows
        if time.monotonic() - self._written > _WRITE_SECONDS:
            self._write(self._waiting)
            self._waiting, self._written = [], time.monotonic()
