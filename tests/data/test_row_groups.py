"""A hub dataset in Parquet files is split by its row groups: a shard fetches its own, and a batch of a neighbour's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import datasets
import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest

from and_nnsight.data import open_source
from and_nnsight.data.row_groups import RowGroups
from and_nnsight.data.shards import Shard, ShardSource, Stretch
from tests.sounds_for_tests import noise, wav_bytes

ROWS = (7, 1, 12, 5)  # of each file
GROUP = 4


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """The row groups that are read, as (file, group)."""
    from datasets.packaged_modules.parquet.parquet import Parquet

    seen: list[tuple[str, int]] = []
    real = Parquet._generate_tables

    def noting(self: Any, files: Any, row_groups_list: Any) -> Any:
        for file, groups in zip(files, row_groups_list, strict=True):
            count = parquet.ParquetFile(file).num_row_groups
            seen.extend((Path(file).name, group) for group in (range(count) if groups is None else groups))
        return real(self, files, row_groups_list)

    monkeypatch.setattr(Parquet, "_generate_tables", noting)
    return seen


@pytest.fixture
def on_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A hub dataset of several files, each of several row groups; its name."""
    clip = 0
    for number, rows in enumerate(ROWS):
        table = datasets.Dataset.from_list(
            [
                {"audio": {"bytes": wav_bytes(noise(0.05, seed=clip + row)), "path": f"{clip + row}.wav"}, "label": row}
                for row in range(rows)
            ]
        ).cast_column("audio", datasets.Audio(decode=False))
        parquet.write_table(arrow.Table.from_batches(table.data.to_batches()), tmp_path / f"{number}.parquet", GROUP)
        clip += rows
    real = datasets.load_dataset_builder
    files = [str(tmp_path / f"{number}.parquet") for number in range(len(ROWS))]
    monkeypatch.setattr(datasets, "load_dataset_builder", lambda *_: real("parquet", data_files={"train": files}))
    return "org/sounds"


def test_a_stream_begins_anywhere_without_what_is_before(on_the_hub: str, read: list[tuple[str, int]]) -> None:
    whole = [(item.id, item.path, item.label, item.audio) for item in open_source(on_the_hub).items()]
    assert [item[0] for item in whole] == list(range(sum(ROWS)))
    for start in range(sum(ROWS) + 2):
        read.clear()
        there = [(item.id, item.path, item.label, item.audio) for item in open_source(on_the_hub).items(start)]
        assert there == whole[start:]
        expected = [
            (f"{number}.parquet", group) for number, rows in enumerate(ROWS) for group in range(-(-rows // GROUP))
        ]
        if start >= 8:
            assert ("0.parquet", 0) not in read and ("1.parquet", 0) not in read
        assert set(read) <= set(expected)


@pytest.mark.parametrize(("count", "size"), [(1, 3), (2, 4), (3, 2), (4, 3), (40, 3)])
def test_shards_fetch_their_own_row_groups(count: int, size: int, on_the_hub: str, read: list[tuple[str, int]]) -> None:
    ids, fetched = [], []
    for index in range(count):
        read.clear()
        source = ShardSource(open_source(on_the_hub), Shard(index, count), size)
        assert isinstance(source.positions, Stretch)
        ids += [item.id for item in source.items()]
        fetched += sorted(set(read))
    assert ids == list(range(sum(ROWS)))
    twice = len(fetched) - len(set(fetched))
    assert twice <= count - 1, "a row group at each border at most"


def test_a_limit_is_of_the_whole_stream(on_the_hub: str) -> None:
    for limit, last in ((10, 10), (1_000, sum(ROWS))):
        source = ShardSource(open_source(on_the_hub, limit=limit), Shard(1, 2), 2)
        assert [item.id for item in source.items()][-1] == last - 1


def test_other_files_and_chosen_rows_are_streams_of_unknown_length(tmp_path: Path) -> None:
    (tmp_path / "rows.json").write_text('{"audio": "a.wav"}\n')
    builder = datasets.load_dataset_builder("json", data_files={"train": str(tmp_path / "rows.json")})
    assert RowGroups.of(builder, "train") is None
    parquet.write_table(arrow.table({"audio": ["a.wav"]}), tmp_path / "rows.parquet")
    files = {"train": str(tmp_path / "rows.parquet")}
    assert RowGroups.of(datasets.load_dataset_builder("parquet", data_files=files), "train") is not None
    chosen = datasets.load_dataset_builder("parquet", data_files=files, filters=[("audio", "=", "a.wav")])
    assert RowGroups.of(chosen, "train") is None
