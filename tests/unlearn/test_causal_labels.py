"""What ablating units does to the concepts of their labels: which units, what is kept, what the card shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from and_nnsight import dissect
from and_nnsight.dissection.dissection import Dissection
from and_nnsight.dissection.errors import DissectionError
from and_nnsight.explain import card
from and_nnsight.explain.records.reading import read_table
from and_nnsight.unlearn import ChoiceError, causal_effects, label_effects
from tests.unlearn.explained import with_labels
from tests.unlearn.models import CLIPS, loaded

SITE = "blocks.1.mlp.hook_pre"
SETTINGS = {"controls": 3, "bootstrap": 20, "progress": False, "overlap": "allow"}
pytestmark = pytest.mark.filterwarnings("ignore:.*the units were found by:UserWarning")


@pytest.fixture
def dissection(tmp_path: Path) -> Dissection:
    dissection = dissect(
        loaded("ast"), CLIPS, sites=[SITE, "unembed.hook_out"], k=2, out=tmp_path / "run", progress=False
    )
    rows = [(SITE, 0, 0, "Label 1", 0.9), (SITE, 0, 1, "label_2", 0.8), (SITE, 1, 0, "thunder", 0.99)]
    rows += [(SITE, 2, 0, "label_2", 0.5), (SITE, 3, 0, "label_1", 0.7), ("unembed.hook_out", 1, 0, "label_1", 1.0)]
    return with_labels(dissection, rows, basis="by hand")


def test_the_units_whose_first_label_is_a_class_are_ablated_the_surest_first(dissection: Dissection) -> None:
    rows = label_effects(loaded("ast"), CLIPS, dissection, most=2, **SETTINGS)
    assert [(row.site, row.unit, row.concept) for row in rows] == [(SITE, 0, "Label 1"), (SITE, 3, "label_1")]
    units = {(SITE, 0): "Label 1", (SITE, 3): "label_1"}
    for row, same in zip(rows, causal_effects(loaded("ast"), CLIPS, None, units, **SETTINGS), strict=True):
        assert row.numbers == same.numbers is not None
    assert sorted(read_table(dissection, "causal"), key=lambda row: row.unit) == rows


def test_the_card_shows_what_ablating_the_unit_does(dissection: Dissection) -> None:
    (first, *_) = label_effects(loaded("ast"), CLIPS, dissection, **SETTINGS)
    (effect,) = card(dissection, SITE, 0).effects
    assert (effect.concept, effect.own, effect.controls) == ("Label 1", first.numbers.own.value, 3)
    assert card(dissection, SITE, 1).effects == ()


def test_labels_that_are_missing_of_no_class_or_of_several_kinds_are_said(dissection: Dissection) -> None:
    with pytest.raises(DissectionError, match="no such labels by icl: run `and-nnsight label"):
        label_effects(loaded("ast"), CLIPS, dissection, method="icl", **SETTINGS)
    with pytest.raises(ChoiceError, match="no unit.s label by db is a class of the model, so no logit"):
        label_effects(loaded("ast"), CLIPS, dissection, units=[1], **SETTINGS)
    with_labels(dissection, [(SITE, 5, 0, "label_1", 0.4)], similarity="cos", basis="by hand")
    with pytest.raises(ChoiceError, match="labels by db of several kinds"):
        label_effects(loaded("ast"), CLIPS, dissection, **SETTINGS)
    rows = label_effects(loaded("ast"), CLIPS, dissection, similarity="cos", **SETTINGS)
    assert [row.unit for row in rows] == [5]
