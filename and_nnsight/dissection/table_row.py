"""Rows of tables as dataclasses: the fields are the columns, and their types those of Parquet.

One declaration gives the schema of a file, its reader, and the frame for pandas.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import pyarrow as arrow

from ..wording import Brief
from .row_parts import by_column, parts_of

if TYPE_CHECKING:
    import pandas

RowT = TypeVar("RowT", bound="TableRow")


@dataclass(frozen=True)
class TableRow(Brief):
    """What the rows of all tables can do; each table has its own subclass, a frozen dataclass.

    table  name of the table, which is that of its file
    key    the columns that tell a row from the others

    A field is a column of ints, floats, strs or bools, of lists of these or of lists, or of lists of NamedTuples of
    these. One that is a NamedTuple or a dataclass is a column for each of its parts, FIELD_PART; a part `value` has the
    column FIELD (share, share_low, share_high). Each may be `| None`, which is None in all of a field's columns.
    """

    table: ClassVar[str] = ""
    key: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def schema(cls) -> arrow.Schema:
        """The columns of the table, in order."""
        return arrow.schema([column for part in parts_of(cls) for column in part.columns])

    @property
    def key_values(self) -> tuple[Any, ...]:
        """The values of the key's columns."""
        return tuple(getattr(self, name) for name in self.key)

    def columns(self) -> dict[str, Any]:
        """The values by column, as JSON and Arrow take them."""
        return by_column(self)

    @classmethod
    def of_columns(cls: type[RowT], columns: Mapping[str, Any]) -> RowT:
        """What `columns` gave; columns of other names are left out.

        Raises ValueError for a column that is lacking and has no default.
        """
        return cls(**{part.name: part.read_one(columns) for part in parts_of(cls)})

    @classmethod
    def of_arrow(cls: type[RowT], table: arrow.Table) -> list[RowT]:
        """The rows of a table as it was read. Raises ValueError for a column that is lacking and has no default."""
        values = [part.read_all(table) for part in parts_of(cls)]
        return [cls(*row) for row in zip(*values, strict=True)]

    @classmethod
    def to_arrow(cls: type[RowT], rows: Iterable[RowT]) -> arrow.Table:
        """Rows as a table of this schema."""
        return arrow.Table.from_pylist([row.columns() for row in rows], cls.schema())

    @classmethod
    def to_pandas(cls: type[RowT], rows: Iterable[RowT]) -> pandas.DataFrame:
        """Rows as a data frame. Raises ImportError where pandas is not installed."""
        return cls.to_arrow(rows).to_pandas()

    def encodable(self: RowT) -> RowT:
        """Without lone surrogates, which a damaged file or a model may give and UTF-8 has no place for."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        texts = {name: value for name, value in values.items() if isinstance(value, str)}
        cleaned = {name: value.encode("utf-8", "replace").decode("utf-8") for name, value in texts.items()}
        return replace(self, **cleaned) if cleaned != texts else self
