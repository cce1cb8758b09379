"""One declaration gives a table its schema, its reader and its frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import pyarrow as arrow
import pytest

from and_nnsight.dissection.table_row import TableRow
from and_nnsight.explain.evaluate.baselines import NULLS
from and_nnsight.explain.records.acoustics import Acoustics, AcousticsRow
from and_nnsight.explain.records.claim_rows import ScoreRow
from and_nnsight.explain.records.reading import ROWS
from and_nnsight.explain.roles import Failure, Span


class Part(NamedTuple):
    name: str
    share: float


@dataclass(frozen=True)
class Example(TableRow):
    table: ClassVar[str] = "examples"
    key: ClassVar[tuple[str, ...]] = ("site", "unit")

    site: str
    unit: int
    score: float | None
    clips: list[list[int]] | None = None
    parts: list[Part] | None = None
    holds: bool = False


ROWS_OF_EXAMPLE = [
    Example("a", 1, 0.5, [[1, 2], []], [Part("x", 0.25)], True),
    Example("b", 2, None),
]


def test_the_fields_are_the_columns() -> None:
    part = arrow.struct([("name", arrow.string()), ("share", arrow.float64())])
    assert Example.schema() == arrow.schema(
        [
            ("site", arrow.string()), ("unit", arrow.int64()), ("score", arrow.float64()),
            ("clips", arrow.list_(arrow.list_(arrow.int64()))), ("parts", arrow.list_(part)), ("holds", arrow.bool_()),
        ]
    )  # fmt: skip


def test_rows_come_back_from_columns_and_from_arrow() -> None:
    assert Example.of_arrow(Example.to_arrow(ROWS_OF_EXAMPLE)) == ROWS_OF_EXAMPLE
    assert [Example.of_columns(row.columns()) for row in ROWS_OF_EXAMPLE] == ROWS_OF_EXAMPLE
    assert ROWS_OF_EXAMPLE[0].key_values == ("a", 1)
    assert ROWS_OF_EXAMPLE[0].columns()["parts"] == [{"name": "x", "share": 0.25}]


def test_what_a_file_lacks_has_its_default_or_is_named() -> None:
    table = Example.to_arrow(ROWS_OF_EXAMPLE)
    assert [row.clips for row in Example.of_arrow(table.drop_columns(["clips", "holds"]))] == [None, None]
    assert Example.of_arrow(table.append_column("more", arrow.array([1, 2]))) == ROWS_OF_EXAMPLE
    with pytest.raises(ValueError, match="it has no column score"):
        Example.of_arrow(table.drop_columns(["score"]))
    with pytest.raises(ValueError, match="it has no column unit"):
        Example.of_columns({"site": "a", "score": 1.0})


def test_a_frame_has_a_column_a_field() -> None:
    pytest.importorskip("pandas")
    frame = Example.to_pandas(ROWS_OF_EXAMPLE)
    assert list(frame.columns) == Example.schema().names
    assert frame["unit"].tolist() == [1, 2]


def test_text_that_cannot_be_encoded_is_replaced() -> None:
    assert Example("\ud800", 1, None).encodable().site == "?"
    row = ROWS_OF_EXAMPLE[0]
    assert row.encodable() is row


@pytest.mark.parametrize("name", ROWS)
def test_every_table_has_a_schema_and_its_key_among_the_columns(name: str) -> None:
    row: Any = ROWS[name]
    assert row.table == name
    assert set(row.key) <= set(row.schema().names)
    assert row.of_arrow(row.schema().empty_table()) == []


def test_scores_have_columns_for_every_null() -> None:
    wanted = [f"{null}_{name}" for null in NULLS for name in ("pearson", "auprc")]
    names = ScoreRow.schema().names
    start = names.index(wanted[0])
    assert names[start : start + len(wanted)] == wanted


def test_acoustics_have_a_column_a_number() -> None:
    measured = Acoustics(**{**dict.fromkeys(Acoustics.__dataclass_fields__, 0.5), "onsets": 1})
    rows = [AcousticsRow.of(Span(1, 0.0, 0.5), measured), AcousticsRow.of(Span(2), Failure("no sound"))]
    assert AcousticsRow.of_arrow(AcousticsRow.to_arrow(rows)) == rows
    assert [row.answer for row in rows] == [measured, Failure("no sound")]
