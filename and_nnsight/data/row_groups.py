"""The row groups of a streamed dataset's Parquet files: how many rows each has, and rows from any position on.

Rows in the middle are reached without what comes before them being fetched: of a file its footer, and then the row
groups that are asked for.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import accumulate, islice
from typing import Any

import pyarrow.parquet as parquet
from datasets import DatasetBuilder, IterableDataset
from datasets.packaged_modules.parquet.parquet import Parquet
from datasets.utils.file_utils import xopen


class RowGroups:
    """The row groups of Parquet files, in their order. Their footers are read when they are first asked for."""

    def __init__(self, files: Sequence[str]) -> None:
        self.files = list(files)

    @classmethod
    def of(cls, builder: DatasetBuilder, split: str) -> RowGroups | None:
        """Those of a split; None for a dataset in other files, or of which only some rows are taken."""
        config: Any = builder.config
        if not isinstance(builder, Parquet) or config.filters is not None or config.on_bad_files != "error":
            return None
        files = config.data_files.get(split) if config.data_files else None
        return cls(list(map(str, files))) if files else None

    @cached_property
    def ends(self) -> list[int]:
        """Of each row group, the position after its last row."""
        counts: list[int] = []
        for address in self.files:
            with xopen(address, "rb") as file:
                about = parquet.read_metadata(file)
            counts += [about.row_group(group).num_rows for group in range(about.num_row_groups)]
        return list(accumulate(counts))

    @property
    def counted(self) -> bool:
        """Whether the footers were read."""
        return "ends" in vars(self)

    @property
    def rows(self) -> int:
        """Of all of them."""
        return self.ends[-1] if self.ends else 0

    def rows_from(self, dataset: IterableDataset, start: int) -> Iterator[dict[str, Any]]:
        """The rows of a dataset over these files from a position on. Raises ValueError if it has other row groups."""
        groups = dataset.reshard()
        if groups.num_shards != len(self.ends):
            raise ValueError(f"it has {groups.num_shards} row groups, and its files have {len(self.ends)}")
        first = bisect_right(self.ends, start)
        before = start - (self.ends[first - 1] if first else 0)
        for number in range(first, len(self.ends)):
            yield from islice(groups.shard(len(self.ends), number), before if number == first else 0, None)
