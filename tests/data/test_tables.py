"""Tables of polars, pyarrow and pandas: their rows are clips; those that are not read yet say which call reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as arrow
import pyarrow.dataset
import pyarrow.parquet as parquet
import pytest

from and_nnsight.data import open_source
from tests.damaged import sound
from tests.data.clips import clips, read

WAVES = [sound(0.1, 16_000, seed=seed) for seed in range(3)]
ROWS = [{"audio": wave.tolist(), "sampling_rate": 16_000, "label": f"l{i}"} for i, wave in enumerate(WAVES)]


def labelled(data: Any) -> list[str | None]:
    return [clip.label for clip in clips(data)]


def table() -> arrow.Table:
    return arrow.Table.from_pylist(ROWS)


def test_the_same_rows_are_the_same_data_in_every_librarys_table() -> None:
    polars = pytest.importorskip("polars")
    tables = [table(), polars.DataFrame(ROWS), polars.from_arrow(table()), polars.DataFrame(ROWS).lazy().collect()]
    assert {open_source(data).fingerprint for data in tables} == {open_source(ROWS).fingerprint}
    for data in tables:
        assert labelled(data) == ["l0", "l1", "l2"]
        assert [batch.inputs for batch in read(data)] == [[1600] * 3]


def test_a_column_of_polars_is_known_again() -> None:
    polars = pytest.importorskip("polars")
    column = polars.Series("audio", [wave.tolist() for wave in WAVES])
    assert len(clips(column)) == 3
    assert open_source(column).fingerprint == open_source(column.to_list()).fingerprint != "unknown"


def unread(kind: str, folder: Path) -> Any:
    parquet.write_table(table(), folder / "t.parquet")
    if kind == "reader":
        return table().to_reader()
    if kind == "file":
        return parquet.ParquetFile(folder / "t.parquet")
    whole = pyarrow.dataset.dataset(folder / "t.parquet")
    return whole if kind == "dataset" else whole.scanner()


@pytest.mark.parametrize(
    ("kind", "call"), [("reader", "read_all"), ("file", "read"), ("dataset", "to_table"), ("scanner", "to_table")]
)
def test_a_table_that_is_not_read_yet_says_which_call_reads_it(kind: str, call: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"a table that is not read yet: give its rows, data\.{call}\(\)"):
        open_source(unread(kind, tmp_path))
    assert labelled(getattr(unread(kind, tmp_path), call)()) == ["l0", "l1", "l2"]


def test_a_query_of_polars_says_which_call_runs_it() -> None:
    polars = pytest.importorskip("polars")
    with pytest.raises(
        ValueError, match=r"data is a LazyFrame, a table that is not read yet: give its rows, data\.col"
    ):
        open_source(polars.DataFrame(ROWS).lazy())


def test_groups_and_lists_of_tables_are_refused() -> None:
    frame = pd.DataFrame({"audio": WAVES, "label": ["a", "b", "a"]})
    with pytest.raises(ValueError, match="data is a DataFrameGroupBy, a table in groups: give the table itself"):
        open_source(frame.groupby("label"))
    for parts in ([frame, frame], table().to_batches(), [table()]):
        with pytest.raises(ValueError, match=r"clip 0 is a table \(.*\): give one table, or its rows one by one"):
            read(parts)
    assert labelled(frame) == ["a", "b", "a"]
