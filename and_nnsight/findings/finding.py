"""What every finding is: a table, facts about all of it, and a figure."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as arrow
import pyarrow.parquet as parquet

from ..dissection.table_files import plain, write_csv
from ..dissection.table_row import TableRow
from ..storage import make_folder, written_whole
from ..wording import Brief
from .drawing import save

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

_FACTS = b"and_nnsight.facts"


@dataclass(frozen=True)
class Finding(Brief, ABC):
    """A finding.

    table   one row a line of the finding, of the class `row`
    facts   what holds of the whole table: settings, counts of units, statistics. Plain JSON values
    """

    row: ClassVar[type[TableRow]]
    table: Sequence[TableRow]
    facts: Mapping[str, Any]

    @property
    def name(self) -> str:
        """What it is called: the name of its table."""
        return self.row.table

    @property
    def tables(self) -> dict[type[TableRow], Sequence[TableRow]]:
        """The table, and others that belong to it, by their rows' classes, whose `table` is the name of the file."""
        return {self.row: self.table}

    def to_pandas(self) -> pandas.DataFrame:
        """The table as a frame. Raises ImportError where pandas is not installed."""
        return self.row.to_pandas(self.table)

    @abstractmethod
    def summary(self) -> list[str]:
        """What was found, in a few lines."""

    @abstractmethod
    def figure(self) -> Figure:
        """A new matplotlib figure. Raises PluginError, which says what to install, where there is no matplotlib."""

    def to_json(self) -> str:
        """`content` as JSON."""
        return json.dumps(plain(self.content()), indent=2, ensure_ascii=False, allow_nan=False)

    def content(self) -> dict[str, Any]:
        """Tables and facts as one object of plain values: `finding`, `facts`, and `tables` by name."""
        tables = {row.table: [line.columns() for line in table] for row, table in self.tables.items()}
        return {"finding": self.name, "facts": dict(self.facts), "tables": tables}

    def write(self, folder: str | Path) -> list[Path]:
        """Write NAME.json, and every table as NAME.parquet and NAME.csv; the paths. The folder is made."""
        folder = Path(folder)
        make_folder(folder)
        written = [folder / f"{self.name}.json"]
        with written_whole(written[0]) as temporary:
            temporary.write_text(self.to_json() + "\n", encoding="utf-8")
        for row, rows in self.tables.items():
            table = row.to_arrow(rows)
            for ending, write in (("parquet", self._write_parquet), ("csv", write_csv)):
                path = folder / f"{row.table}.{ending}"
                with written_whole(path) as temporary:
                    write(table, temporary)
                written.append(path)
        return written

    def write_figure(self, folder: str | Path) -> list[Path]:
        """Write NAME.png and NAME.pdf; the paths. Raises PluginError where there is no matplotlib."""
        figure, folder = self.figure(), Path(folder)
        make_folder(folder)
        written = [folder / f"{self.name}.{kind}" for kind in ("png", "pdf")]
        for path in written:
            with written_whole(path) as temporary:
                save(figure, temporary, path.suffix[1:])
        return written

    def _write_parquet(self, table: arrow.Table, path: Path) -> None:
        facts = json.dumps(dict(self.facts), ensure_ascii=False).encode()
        with path.open("wb") as file:
            parquet.write_table(table.replace_schema_metadata({_FACTS: facts}), file)
