"""What the dataset itself says of a clip."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ....plugins import PluginError
from ...roles import Clip, Failure


class Column:
    """The dataset's own words: one of its columns, "caption" or "label" among them."""

    sampling_rate = None

    def __init__(self, column: str) -> None:
        if not column.strip():
            raise PluginError("captioner 'column' needs the name of a column: column:caption")
        self.column = column

    def caption(self, clips: Sequence[Clip]) -> Iterator[str | Failure]:
        """The column's value of each clip. Raises PluginError, which lists the columns, if there is no such column."""
        for clip in clips:
            if self.column not in clip.columns:
                there = ", ".join(map(repr, clip.columns)) or "none"
                raise PluginError(f"the clips have no column {self.column!r}; they have {there}")
            value = clip.columns[self.column]
            text = "" if value is None else str(value)
            yield text if text.strip() else Failure(f"column {self.column!r} is empty")
