"""The clips that are scored for concepts: of a dissection, or of data that has not been dissected."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ...data import Source
from ...data.options import DataOptions
from ...dissection.dissection import Dissection
from ..records.captions import clip_captions
from ..records.clip_audio import ClipOrFailure, data_clips, dissection_clips
from ..roles import Span


@dataclass(frozen=True)
class DissectionClips:
    """The clips of a dissection."""

    dissection: Dissection
    data: Any = None

    @property
    def fingerprint(self) -> str:
        """Of the data that they are of."""
        return self.dissection.manifest.dataset.fingerprint

    @cached_property
    def labels(self) -> dict[int, str | None]:
        """By clip; None where it has none."""
        return {clip: row.label for clip, row in self.dissection.clips.items()}

    def captions(self) -> dict[int, str | None]:
        """Those of the captions table, or the dataset's own: all of them where the table was made from these."""
        own = {clip: row.caption for clip, row in self.dissection.clips.items()}
        made = clip_captions(self.dissection) or {}
        return made if any(made.values()) else own

    def sounds(self, rate: int) -> Iterator[ClipOrFailure]:
        """The clips at a rate, one after another, or why one cannot be read."""
        spans = [Span(clip) for clip in sorted(self.dissection.clips)]
        return dissection_clips(self.dissection, spans, sampling_rate=rate, data=self.data)

    @property
    def count(self) -> int | None:
        """How many there are; None where only reading tells."""
        return len(self.dissection.clips)


@dataclass(frozen=True)
class DataClips:
    """The clips of data that has not been dissected."""

    data: Any
    options: DataOptions
    source_rate: int | None

    @cached_property
    def _source(self) -> Source:
        return self.options.open(self.data)

    @property
    def fingerprint(self) -> str:
        """Of the data that they are of."""
        return self._source.fingerprint

    @cached_property
    def _texts(self) -> dict[int, tuple[str | None, str | None]]:
        """The label and the caption of each clip: data is gone through once."""
        return {item.id: (item.label, item.caption) for item in self._source.items()}

    @cached_property
    def labels(self) -> dict[int, str | None]:
        """By clip; None where it has none."""
        return {clip: label for clip, (label, _) in self._texts.items()}

    def captions(self) -> dict[int, str | None]:
        """The dataset's own; None where a clip has none."""
        return {clip: caption for clip, (_, caption) in self._texts.items()}

    def sounds(self, rate: int) -> Iterator[ClipOrFailure]:
        """The clips at a rate, one after another, or why one cannot be read."""
        return data_clips(self.data, self.options, sampling_rate=rate, source_rate=self.source_rate)

    @property
    def count(self) -> int | None:
        """How many there are; None where only reading tells."""
        return self._source.length


ConceptClips = DissectionClips | DataClips
