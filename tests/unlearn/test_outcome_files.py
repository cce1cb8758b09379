"""What was measured of clips, as files: typed whatever the clips hold, and read from files that were not."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest

from and_nnsight.data import Clip
from and_nnsight.unlearn import Outcome, Outcomes, UnitChoice
from and_nnsight.unlearn.outcome_files import MeasuredClipRow, OutcomeRow, read_outcomes, write_outcomes

CLASSES = ("bell", "siren")


@pytest.fixture
def outcomes() -> Outcomes:
    clips = tuple(Clip(place + 3, None, CLASSES[place % 2], None, 1.5, 16_000, f"{place:x}") for place in range(4))
    numbers = np.random.default_rng(0).random((2, 3, 4))
    correct = numbers[0] > 0.5
    return Outcomes(
        clips,
        np.array([0, 1, 0, 1]),
        CLASSES,
        (UnitChoice({"a": [1]}, concept="bell"), UnitChoice({"a": [2]}, concept="bell")),
        Outcome(numbers[0, 0], numbers[1, 0], correct[0]),
        Outcome(numbers[0, 1:], numbers[1, 1:], correct[1:]),
        {"no label": 2},
    )


def same(first: Outcomes, second: Outcomes) -> bool:
    parts = [(first.baseline, second.baseline), (first.ablated, second.ablated)]
    numbers = [np.array_equal(getattr(a, name), getattr(b, name)) for a, b in parts for name in asdict(a)]
    return all(numbers) and (first.clips, first.choices) == (second.clips, second.choices)


def test_they_are_typed_and_come_back(outcomes: Outcomes, tmp_path: Path) -> None:
    write_outcomes(tmp_path, outcomes)
    assert parquet.read_schema(tmp_path / "clips.parquet") == MeasuredClipRow.schema()
    assert parquet.read_schema(tmp_path / "outcomes.parquet") == OutcomeRow.schema()
    assert same(read_outcomes(tmp_path, CLASSES, outcomes.choices, outcomes.left_out), outcomes)
    rows = OutcomeRow.of_arrow(parquet.read_table(tmp_path / "outcomes.parquet"))
    assert [(row.choice, row.clip) for row in rows[3:6]] == [(-1, 6), (0, 3), (0, 4)]
    assert rows[5].logit == outcomes.ablated.logit[0, 1]


def test_a_file_whose_empty_columns_have_no_type_is_read(outcomes: Outcomes, tmp_path: Path) -> None:
    write_outcomes(tmp_path, outcomes)
    untyped = arrow.Table.from_pylist([asdict(clip) for clip in outcomes.clips])
    assert untyped.schema.field("caption").type == arrow.null()
    parquet.write_table(untyped, tmp_path / "clips.parquet")
    assert same(read_outcomes(tmp_path, CLASSES, outcomes.choices, outcomes.left_out), outcomes)
