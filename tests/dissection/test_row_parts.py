"""Fields that are several columns: estimates, and what was measured as a whole or not at all."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import pyarrow as arrow
import pytest

from and_nnsight.dissection.row_parts import UNPREFIXED
from and_nnsight.dissection.table_row import TableRow
from and_nnsight.statistics.bootstrap import Estimate


@dataclass(frozen=True)
class Numbers:
    own: Estimate
    draws: list[float]


@dataclass(frozen=True)
class Example(TableRow):
    table: ClassVar[str] = "examples"

    name: str
    share: Estimate
    logit: Numbers | None
    bare: Numbers | None = field(default=None, metadata=UNPREFIXED)


NUMBERS = Numbers(Estimate(1.0, None, None), [0.5, 1.5])
ROWS = [Example("a", Estimate(0.5, 0.25, 0.75), NUMBERS, None), Example("b", Estimate(1.0, None, None), None, NUMBERS)]


def test_each_part_is_a_column_and_a_value_has_the_fields_own_name() -> None:
    number, draws = arrow.float64(), arrow.list_(arrow.float64())
    assert Example.schema() == arrow.schema(
        [
            ("name", arrow.string()), ("share", number), ("share_low", number), ("share_high", number),
            ("logit_own", number), ("logit_own_low", number), ("logit_own_high", number), ("logit_draws", draws),
            ("own", number), ("own_low", number), ("own_high", number), ("draws", draws),
        ]
    )  # fmt: skip


def test_rows_come_back_whole_and_what_was_not_measured_as_none() -> None:
    assert Example.of_arrow(Example.to_arrow(ROWS)) == ROWS
    assert [Example.of_columns(row.columns()) for row in ROWS] == ROWS
    assert [row["own_low"] for row in Example.to_arrow(ROWS).to_pylist()] == [None, None]
    assert Example.of_arrow(Example.schema().empty_table()) == []


def test_a_part_that_a_file_lacks_is_named_or_leaves_the_field_at_its_default() -> None:
    table = Example.to_arrow(ROWS)
    assert [row.bare for row in Example.of_arrow(table.drop_columns(["own_low"]))] == [None, None]
    with pytest.raises(ValueError, match="it has no column share_low"):
        Example.of_arrow(table.drop_columns(["share_low"]))


def test_text_is_made_encodable_beside_parts() -> None:
    row = Example("\ud800", Estimate(0.5, None, None), NUMBERS)
    assert (row.encodable().name, row.encodable().logit) == ("?", NUMBERS)
