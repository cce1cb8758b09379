"""What every finding is: a table, what was found over all of it, and a figure."""

from __future__ import annotations

import csv
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as arrow
import pyarrow.parquet as parquet

from ..storage import written_whole
from ..wording import Brief
from .drawing import save

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Row = dict[str, Any]
_FACTS = b"and_nnsight.facts"


@dataclass(frozen=True)
class Finding(Brief, ABC):
    """A finding.

    table   one row a line of the finding; every row has the same columns
    facts   what holds of the whole table: settings, counts of units, statistics. Plain JSON values
    """

    name: ClassVar[str]
    table: list[Row]
    facts: Mapping[str, Any]

    @property
    def tables(self) -> dict[str, list[Row]]:
        """The table, and others that belong to it, by the names of their files."""
        return {self.name: self.table} | self._more()

    def _more(self) -> dict[str, list[Row]]:
        """Tables that belong to the main one, by name."""
        return {}

    @abstractmethod
    def summary(self) -> list[str]:
        """What was found, in a few lines."""

    @abstractmethod
    def figure(self) -> Figure:
        """A new matplotlib figure. Raises PluginError, which says what to install, where there is no matplotlib."""

    def to_json(self) -> str:
        """Tables and facts as one JSON object: `finding`, `facts`, and `tables` by name."""
        content = {"finding": self.name, "facts": dict(self.facts), "tables": self.tables}
        return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)

    def write(self, folder: str | Path) -> list[Path]:
        """Write NAME.json, and every table as NAME.parquet and NAME.csv; the paths. The folder is made."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        written = [folder / f"{self.name}.json"]
        with written_whole(written[0]) as temporary:
            temporary.write_text(self.to_json() + "\n", encoding="utf-8")
        for name, rows in self.tables.items():
            for path, write in ((folder / f"{name}.parquet", self._parquet), (folder / f"{name}.csv", _csv)):
                with written_whole(path) as temporary:
                    write(rows, temporary)
                written.append(path)
        return written

    def write_figure(self, folder: str | Path) -> list[Path]:
        """Write NAME.png and NAME.pdf; the paths. Raises PluginError where there is no matplotlib."""
        figure, folder = self.figure(), Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        written = [folder / f"{self.name}.{kind}" for kind in ("png", "pdf")]
        for path in written:
            with written_whole(path) as temporary:
                save(figure, temporary, path.suffix[1:])
        return written

    def _parquet(self, rows: list[Row], path: Path) -> None:
        table = arrow.Table.from_pylist(rows)
        facts = json.dumps(dict(self.facts), ensure_ascii=False).encode()
        with path.open("wb") as file:
            parquet.write_table(table.replace_schema_metadata({_FACTS: facts}), file)


def _csv(rows: list[Row], path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(rows[0] if rows else [])
        writer.writerows([_cell(value) for value in row.values()] for row in rows)


def _cell(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value
