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
    def of(cls, data: Any, options: DataOptions, shard: Shard | None = None, batch_size: int = 1) -> Reading:
        """The data, opened; of a shard its clips alone, in batches of the whole. Raises what `open_source` raises."""
        source = options.open(data)
        return cls(source if shard is None else ShardSource(source, shard, batch_size), options)
