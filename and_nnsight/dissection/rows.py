"""Rows of a table as what a call gives back: a list that is printed in a line, and becomes a frame of pandas."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeVar

from ..plugins import Viewed
from ..wording import counted
from .table_row import TableRow

if TYPE_CHECKING:
    import pandas


Row = TypeVar("Row", bound=TableRow)


class Rows(list[Row], Viewed):
    """A list of rows of one kind, the dataclass `kind`."""

    def __init__(self, rows: Iterable[Row], kind: type[Row]) -> None:
        super().__init__(rows)
        self.kind = kind

    def to_pandas(self) -> pandas.DataFrame:
        """A row each, with the columns of the table. Raises ImportError where pandas is not installed."""
        return self.kind.to_pandas(self)

    def __repr__(self) -> str:
        rows: list[Any] = list(self)  # the fields of a row are those of its kind
        of_units = {"site", "unit"} <= set(self.kind.__dataclass_fields__)
        units = {(row.site, row.unit) for row in rows} if of_units else set()
        failed = sum(1 for row in self if getattr(row, "failure", None))
        parts = [counted(len(self), "row"), counted(len(units), "unit") if units else "", _failures(failed)]
        return f"{self.kind.table}: {', '.join(part for part in parts if part)}"


def _failures(count: int) -> str:
    return f"{count:,} with a failure" if count else ""


class Tables(dict[str, Rows], Viewed):
    """Rows by the name of their table. Tables of units also become one frame, a row a unit."""

    def to_pandas(self) -> pandas.DataFrame:
        """What was said of each unit: a row a unit, a column a table's text, words with commas between.

        Raises ImportError where pandas is not installed.
        """
        import pandas

        texts: dict[tuple[str, int], dict[str, str | None]] = {}
        for name, column in _TEXTS.items():
            for row in self.get(name, ()):
                of_unit = texts.setdefault((row.site, row.unit), {})
                text = getattr(row, column)
                of_unit[name] = f"{of_unit[name]}, {text}" if of_unit.get(name) and text else text or of_unit.get(name)
        columns = [name for name in _TEXTS if name in self]
        rows = [(site, unit, *(said.get(name) for name in columns)) for (site, unit), said in texts.items()]
        return pandas.DataFrame(rows, columns=["site", "unit", *columns])

    def __repr__(self) -> str:
        return "; ".join(map(repr, self.values())) or "no tables"


_TEXTS = {"summaries": "highly", "calibrated": "calibrated", "concepts": "word"}
