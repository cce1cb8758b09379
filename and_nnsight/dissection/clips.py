"""The clips that a dissection was made of: `clips.parquet`."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import ClassVar

from ..data import Clip
from ..wording import counted
from .table_row import TableRow


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

    @classmethod
    def of(cls, clip: Clip) -> ClipRow:
        """The row of a clip as a run saw it."""
        values = {field.name: getattr(clip, field.name) for field in fields(clip) if field.name != "id"}
        return cls(clip.id, **values)
