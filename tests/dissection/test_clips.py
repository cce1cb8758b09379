"""`clips.parquet` is what pyarrow makes of rows, to the byte, without pandas."""

from __future__ import annotations

import subprocess
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as arrow
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as some
from pyarrow import parquet

from and_nnsight.data.tokens import Token
from and_nnsight.dissection.clips import ClipRow

TEXT = some.none() | some.text(some.characters(exclude_categories=["Cs"]), max_size=20)
TOKENS = some.lists(some.tuples(some.integers(0, 2**40), TEXT.map(lambda text: text or "")), max_size=3)
# Rows are made in the test: what checks their lists looks at random items, which strategies may not.
ROWS = some.tuples(
    some.integers(0, 2**63 - 1), TEXT, TEXT, TEXT, some.floats(0, 1e300), some.none() | some.integers(1, 2**40),
    TEXT, some.none() | some.booleans(), some.none() | TOKENS,
)  # fmt: skip


def written(table: arrow.Table) -> bytes:
    file = BytesIO()
    with parquet.ParquetWriter(file, ClipRow.schema()) as writer:
        writer.write_table(table)
    return file.getvalue()


@given(some.lists(ROWS, max_size=9))
def test_rows_are_written_as_pyarrow_itself_would(drawn: list[tuple[Any, ...]]) -> None:
    rows = [
        ClipRow(*values, tokens=None if tokens is None else [Token(*token) for token in tokens])
        for *values, tokens in drawn
    ]
    expected = arrow.Table.from_pylist([row.columns() for row in rows], ClipRow.schema())
    table = ClipRow.to_arrow(rows)
    assert table.equals(expected)
    assert written(table) == written(expected)
    assert ClipRow.of_arrow(table) == rows


def test_many_rows_are_one_chunk() -> None:
    rows = [ClipRow(clip, "x" * 1_000, None, "1", clip / 7) for clip in range(4_096)]
    table = ClipRow.to_arrow(rows)
    assert table["path"].num_chunks == 1
    assert written(table) == written(arrow.Table.from_pylist([row.columns() for row in rows], ClipRow.schema()))


@pytest.mark.slow
def test_neither_datasets_nor_pandas_is_imported_to_dissect_a_folder(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.sin(np.arange(16_000) / 9), 16_000)
    code = f"""
import sys
from and_nnsight import dissect
from and_nnsight.demo import tiny_ast_path
dissect(tiny_ast_path(), {str(tmp_path)!r}, out={str(tmp_path / "run")!r}, progress=False)
print(*sorted({{"datasets", "pandas"}} & sys.modules.keys()), "none")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["none"]
