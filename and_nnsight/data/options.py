"""What of a dataset is read, as one value: what the public calls take as `split`, `…_column` and `limit`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .items import Source


@dataclass(frozen=True)
class DataOptions:
    """Which part of a dataset is read, out of which columns, and how many clips at most."""

    split: str | None = None
    audio_column: str = "audio"
    label_column: str | None = None
    caption_column: str | None = None
    limit: int | None = None

    def open(self, data: Any, words_column: str | None = None) -> Source:
        """The source that `data` is, read as these options say. Raises what `open_source` raises."""
        from .sources import open_source

        return open_source(
            data,
            split=self.split,
            audio_column=self.audio_column,
            label_column=self.label_column,
            caption_column=self.caption_column,
            limit=self.limit,
            words_column=words_column,
        )
