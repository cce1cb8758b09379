"""The clips that a dissection was made of: `clips.parquet`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from io import BytesIO
from typing import ClassVar

import pyarrow as arrow
from pyarrow import json

from ..data.items import Clip
from ..data.tokens import Token
from ..storage import as_json
from ..wording import counted
from .table_row import RowT, TableRow

_LARGEST_BLOCK = 2**31 - 1  # bytes, which pyarrow counts in 32 bits


class ClipRows(dict[int, "ClipRow"]):
    """Clips by id, printed within a few lines."""

    def __repr__(self) -> str:
        first = f", the first {next(iter(self.values()))!r}" if self else ""
        return f"ClipRows({counted(len(self), 'clip')}{first})"


@dataclass(frozen=True)
class ClipRow(TableRow):
    """A clip that was seen: a row of `clips.parquet`.

    clip     its id, which is its position in the stream
    content  hash of the samples that the model is given; None in files of earlier versions
    silent   there is nothing to be heard in it
    tokens   its own text, token by token, where frames are tokens of an answer; None elsewhere
    """

    table: ClassVar[str] = "clips"
    key: ClassVar[tuple[str, ...]] = ("clip",)

    clip: int
    path: str | None
    label: str | None
    caption: str | None
    seconds: float
    sampling_rate: int | None = None
    content: str | None = None
    silent: bool | None = None
    tokens: list[Token] | None = None

    @classmethod
    def of(cls, clip: Clip) -> ClipRow:
        """The row of a clip as a run saw it."""
        values = {field.name: getattr(clip, field.name) for field in fields(clip) if field.name != "id"}
        return cls(clip.id, **values)

    @classmethod
    def to_arrow(cls: type[RowT], rows: Iterable[RowT]) -> arrow.Table:
        """Rows as a table of this schema.

        They go by way of JSON: `from_pylist` imports pandas, half a second of every run, to see whether it is needed.
        """
        content = b"".join(as_json(row.columns()) + b"\n" for row in rows)
        if not content:
            return arrow.Table.from_batches([], cls.schema())
        one_block = json.ReadOptions(use_threads=False, block_size=min(len(content) + 1, _LARGEST_BLOCK))
        parse = json.ParseOptions(explicit_schema=cls.schema(), unexpected_field_behavior="error")
        return json.read_json(BytesIO(content), one_block, parse)
