"""What a run reads: clips, and which part of the data they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..data import Source
from ..data.options import DataOptions
from ..data.shards import Shard, ShardSource


@dataclass(frozen=True)
class Reading:
    """The data of a run, opened.

    source   its clips
    options  which part of the data they are
    """

    source: Source
    options: DataOptions

    @classmethod
    def of(cls, data: Any, options: DataOptions) -> Reading:
        """The data, opened. Raises what `open_source` raises."""
        return cls(options.open(data), options)

    def part(self, shard: Shard | None, unit: int) -> Reading:
        """Of a shard its clips alone, which begin at multiples of so many positions of the whole; None: all."""
        return self if shard is None else Reading(ShardSource(self.source, shard, unit), self.options)
