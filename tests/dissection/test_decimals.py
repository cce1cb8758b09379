"""Numbers of 32 bits are written with the fewest digits that give the same bits back, and seconds without tails."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import hypothesis.strategies as st
import numpy as np
import pyarrow as arrow
import pytest
from hypothesis import example, given

from and_nnsight.dissection.clips import ClipRow
from and_nnsight.dissection.decimals import Single, shortest, shortest_list
from and_nnsight.dissection.moments import FrameMoments
from and_nnsight.dissection.table_files import write_csv
from and_nnsight.dissection.table_row import TableRow
from and_nnsight.sites.geometry import Regular

numbers = st.floats(width=32, allow_nan=False)


@dataclass(frozen=True)
class Example(TableRow):
    table: ClassVar[str] = "examples"
    number: Single
    maybe: Single | None = None
    exact: float = 0.1


@given(numbers)
@example(0.10000000149011612)
@example(-0.0)
@example(1.401298464324817e-45)
@example(3.4028234663852886e38)
@example(16777216.0)
def test_what_is_read_back_is_what_was_stored_and_nothing_shorter_is(number: float) -> None:
    stored = np.float32(number)
    decimal = shortest(number)
    assert np.float32(decimal).tobytes() == stored.tobytes()
    assert shortest(decimal) == decimal and shortest_list(np.array([stored])) == [decimal]
    if math.isfinite(number):
        fewer = len(_digits(decimal)) - 1
        assert fewer == 0 or np.float32(f"{float(stored):.{fewer - 1}e}") != stored
        assert np.float32(json.loads(json.dumps(decimal))) == stored


def _digits(decimal: float) -> str:
    return f"{np.format_float_scientific(decimal)}".partition("e")[0].lstrip("-").replace(".", "").rstrip("0") or "0"


@given(st.lists(numbers, min_size=1, max_size=4))
def test_a_table_keeps_32_bits_and_its_rows_the_shortest_decimals(values: list[float]) -> None:
    rows = [Example(value, None if place % 2 else value) for place, value in enumerate(values)]
    table = Example.to_arrow(rows)
    assert table.schema.types == [arrow.float32(), arrow.float32(), arrow.float64()]
    assert table["number"].to_numpy().tobytes() == np.array(values, np.float32).tobytes()
    back = Example.of_arrow(table)
    assert [row.number for row in back] == shortest_list(np.array(values, np.float32))
    assert [row.maybe is None for row in back] == [bool(place % 2) for place in range(len(values))]
    assert [row.columns()["number"] for row in rows] == [row.number for row in back]


def test_a_spreadsheet_reads_the_same_bits_back(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=200).astype(np.float32)
    write_csv(Example.to_arrow([Example(float(value)) for value in values]), tmp_path / "examples.csv")
    with (tmp_path / "examples.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert np.array([line["number"] for line in lines]).astype(np.float32).tobytes() == values.tobytes()
    assert {line["maybe"] for line in lines} == {""} and {line["exact"] for line in lines} == {"0.1"}
    assert max(len(line["number"].lstrip("-")) for line in lines) <= 12


def test_lists_keep_their_shape_and_other_numbers() -> None:
    assert shortest_list(np.array([[0.1, 2.0], [np.inf, -0.3]], np.float32)) == [[0.1, 2.0], [math.inf, -0.3]]
    assert shortest_list(np.array([1, 2])) == [1, 2] and shortest_list(np.array([True])) == [True]
    assert shortest_list(np.zeros(0, np.float32)) == [] and math.isnan(shortest(float("nan")))


@pytest.mark.parametrize(
    ("hop", "frame", "start"), [(0.1, 3, 0.3), (0.02, 35, 0.7), (0.02, 57, 1.14), (1 / 3, 1, 0.333333333)]
)
def test_seconds_have_no_tail(hop: float, frame: int, start: float) -> None:
    moments = FrameMoments(Regular(hop=hop, span=hop), np.array([frame]))
    assert moments.moment(frame, ClipRow(0, None, None, None, seconds=9.0))[0] == start
    end = start + hop / 2  # a clip's own end stays what it is
    assert moments.moment(frame, ClipRow(0, None, None, None, seconds=end)) == (start, end)
