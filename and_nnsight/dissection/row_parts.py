"""The fields of rows as columns: their names and types in Parquet, and how values go into them and come back."""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import cache, cached_property, partial
from typing import Any, Union, get_args, get_origin, get_type_hints

import pyarrow as arrow

from .decimals import Single, shortest

_SCALARS = {
    int: arrow.int64(), float: arrow.float64(), Single: arrow.float32(), str: arrow.string(), bool: arrow.bool_(),
}  # fmt: skip
_NO_DEFAULT = object()
_NO_PREFIX = "no prefix"

UNPREFIXED = types.MappingProxyType({_NO_PREFIX: True})
"""The metadata of a field whose parts are columns under their own names: `field(metadata=UNPREFIXED)`."""


@dataclass(frozen=True)
class RowPart:
    """A field of a row, or a part of one: its columns, and how a value becomes theirs and is made of them again."""

    name: str
    columns: tuple[arrow.Field, ...]
    stored: Callable[[Any], Sequence[Any]]
    read: Callable[[Sequence[Any]], Any]
    default: Any

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Of the columns."""
        return tuple(column.name for column in self.columns)

    def read_one(self, columns: Mapping[str, Any]) -> Any:
        """The value in one row, given as values by column."""
        lacking = self._lacking(columns)
        return self._absent(lacking[0]) if lacking else self.read([columns[name] for name in self.names])

    def read_all(self, table: arrow.Table) -> list[Any]:
        """The values in all rows of a table."""
        lacking = self._lacking(set(table.column_names))
        if lacking:
            return [self._absent(lacking[0])] * len(table)
        values = [table[name].to_pylist() for name in self.names]
        return [self.read(row) for row in zip(*values, strict=True)]

    def _lacking(self, names: Mapping[str, Any] | set[str]) -> list[str]:
        return [name for name in self.names if name not in names]

    def _absent(self, column: str) -> Any:
        """The value where a file has no such column."""
        if self.default is _NO_DEFAULT:
            raise ValueError(f"it has no column {column}")
        return self.default


@cache
def parts_of(row: Any) -> tuple[RowPart, ...]:
    """The fields of a dataclass, or the parts of a NamedTuple."""
    hints = get_type_hints(row, include_extras=True)
    if not is_dataclass(row):
        return tuple(_part(name, _without_none(hints[name]), _NO_DEFAULT) for name in row._fields)
    parts = []
    for field in fields(row):
        default = _NO_DEFAULT if field.default is MISSING else field.default
        parts.append(_part(field.name, _without_none(hints[field.name]), default, not field.metadata.get(_NO_PREFIX)))
    return tuple(parts)


def _part(name: str, kind: Any, default: Any, prefixed: bool = True) -> RowPart:
    if not (is_dataclass(kind) or _is_named_tuple(kind)):
        return _single_column(name, kind, default)
    columns = [column for part in parts_of(kind) for column in part.columns]
    if prefixed:
        columns = [column.with_name(name if column.name == "value" else f"{name}_{column.name}") for column in columns]
    stored = partial(_as_columns, len(columns))
    return RowPart(name, tuple(columns), stored, partial(_of_columns, kind), default)


def _single_column(name: str, kind: Any, default: Any) -> RowPart:
    column = (arrow.field(name, _arrow_type(kind)),)
    if get_origin(kind) is list and _is_named_tuple(get_args(kind)[0]):
        return RowPart(name, column, _as_mappings, partial(_of_mappings, get_args(kind)[0]), default)
    if kind == Single:
        return RowPart(name, column, _alone_single, _only_single, default)
    return RowPart(name, column, _alone, _only, default)


def by_column(value: Any) -> dict[str, Any]:
    """What a row, or a part of one, is in each of its columns."""
    stored: dict[str, Any] = {}
    for part in parts_of(type(value)):
        values = part.stored(getattr(value, part.name))
        stored.update(zip(part.names, values, strict=True))
    return stored


def _as_columns(count: int, value: Any) -> Sequence[Any]:
    return [None] * count if value is None else list(by_column(value).values())


def _of_columns(kind: Any, values: Sequence[Any]) -> Any:
    if all(value is None for value in values):
        return None
    parts = parts_of(kind)
    rest = iter(values)
    return kind(**{part.name: part.read([next(rest) for _ in part.columns]) for part in parts})


def _alone(value: Any) -> Sequence[Any]:
    return (value,)


def _only(values: Sequence[Any]) -> Any:
    return values[0]


def _alone_single(value: Any) -> Sequence[Any]:
    return (None if value is None else shortest(value),)


def _only_single(values: Sequence[Any]) -> Any:
    return None if values[0] is None else shortest(values[0])


def _as_mappings(value: Any) -> Sequence[Any]:
    return (None if value is None else [part._asdict() for part in value],)


def _of_mappings(kind: Callable[..., Any], values: Sequence[Any]) -> Any:
    return None if values[0] is None else [kind(**part) for part in values[0]]


def _is_named_tuple(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, tuple)


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
    return arrow.struct([(name, _arrow_type(_without_none(part))) for name, part in get_type_hints(kind).items()])
