"""Rows of tables as dataclasses: the fields are the columns, and their types those of Parquet.

One declaration gives the schema of a file, its reader, and the frame for pandas.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, dataclass, fields, replace
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, Union, get_args, get_origin, get_type_hints

import pyarrow as arrow

from ..wording import Brief

if TYPE_CHECKING:
    import pandas

_SCALARS = {int: arrow.int64(), float: arrow.float64(), str: arrow.string(), bool: arrow.bool_()}
_NO_DEFAULT = object()

RowT = TypeVar("RowT", bound="TableRow")


@dataclass(frozen=True)
class TableRow(Brief):
    """What the rows of all tables can do; each table has its own subclass, a frozen dataclass.

    table  name of the table, which is that of its file
    key    the columns that tell a row from the others

    A column is an int, float, str or bool, a list of these or of lists, or a list of NamedTuples of these; each may be
    `| None`.
    """

    table: ClassVar[str] = ""
    key: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def schema(cls) -> arrow.Schema:
        """The columns of the table, in order."""
        return arrow.schema([(column.name, column.type) for column in _columns(cls)])

    @property
    def key_values(self) -> tuple[Any, ...]:
        """The values of the key's columns."""
        return tuple(getattr(self, name) for name in self.key)

    def columns(self) -> dict[str, Any]:
        """The values by column, as JSON and Arrow take them."""
        return {column.name: column.stored(getattr(self, column.name)) for column in _columns(type(self))}

    @classmethod
    def of_columns(cls: type[RowT], columns: Mapping[str, Any]) -> RowT:
        """What `columns` gave; columns of other names are left out.

        Raises ValueError for a column that is lacking and has no default.
        """
        return cls(
            **{
                column.name: column.read(columns[column.name]) if column.name in columns else column.absent()
                for column in _columns(cls)
            }
        )

    @classmethod
    def of_arrow(cls: type[RowT], table: arrow.Table) -> list[RowT]:
        """The rows of a table as it was read. Raises ValueError for a column that is lacking and has no default."""
        names = set(table.column_names)
        values = [
            [column.read(value) for value in table[column.name].to_pylist()]
            if column.name in names
            else [column.absent()] * len(table)
            for column in _columns(cls)
        ]
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
        texts = {name: value for name, value in self.columns().items() if isinstance(value, str)}
        cleaned = {name: value.encode("utf-8", "replace").decode("utf-8") for name, value in texts.items()}
        return replace(self, **cleaned) if cleaned != texts else self


@dataclass(frozen=True)
class _Column:
    """A column: its Arrow type, and how a value becomes a stored one and comes back."""

    name: str
    type: arrow.DataType
    stored: Callable[[Any], Any]
    read: Callable[[Any], Any]
    default: Any

    def absent(self) -> Any:
        """The value where a file has no such column."""
        if self.default is _NO_DEFAULT:
            raise ValueError(f"it has no column {self.name}")
        return self.default


@cache
def _columns(row: type[TableRow]) -> tuple[_Column, ...]:
    hints = get_type_hints(row)
    columns = []
    for field in fields(row):
        kind = _without_none(hints[field.name])
        tuples = _tuples_in(kind)
        stored, read = (_same, _same) if tuples is None else (_as_mappings, _reader(tuples))
        default = _NO_DEFAULT if field.default is MISSING else field.default
        columns.append(_Column(field.name, _arrow_type(kind), stored, read, default))
    return tuple(columns)


def _without_none(hint: Any) -> Any:
    if get_origin(hint) not in (Union, types.UnionType):
        return hint
    (kind,) = (part for part in get_args(hint) if part is not types.NoneType)
    return kind


def _arrow_type(kind: Any) -> arrow.DataType:
    if kind in _SCALARS:
        return _SCALARS[kind]
    if get_origin(kind) is list:
        return arrow.list_(_arrow_type(get_args(kind)[0]))
    return arrow.struct([(name, _arrow_type(part)) for name, part in get_type_hints(kind).items()])


def _tuples_in(kind: Any) -> Any:
    """The NamedTuple that a column has lists of; None for other columns."""
    part = get_args(kind)[0] if get_origin(kind) is list else None
    return part if isinstance(part, type) and issubclass(part, tuple) else None


def _same(value: Any) -> Any:
    return value


def _as_mappings(value: Any) -> Any:
    return None if value is None else [part._asdict() for part in value]


def _reader(kind: Callable[..., Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else [kind(**part) for part in value]
