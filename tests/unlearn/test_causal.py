"""What ablating single units does to their concept, against other units of the same site."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from and_nnsight.unlearn import UnitChoice, ablated_outcomes, causal_effects
from tests.unlearn.models import CLIPS, loaded

SITE = "blocks.1.mlp.hook_pre"
SETTINGS: dict[str, Any] = {"bootstrap": 20, "progress": False}


def test_a_units_effect_and_its_rank_among_others_are_the_naive_ones() -> None:
    model = loaded("ast")
    units = {(SITE, 3): "label_1", (SITE, 9): "label_2", ("blocks.0.hook_attn_out", 4): "label_1"}
    rows = causal_effects(model, CLIPS, None, units, controls=5, **SETTINGS)
    for row, ((site, unit), concept) in zip(rows, units.items(), strict=True):
        assert (row.site, row.unit, row.concept, row.controls) == (site, unit, concept, 5)
        drawn = np.random.default_rng([0, 2]).permutation(64 if site == SITE else 32)[:6].tolist()
        others = [other for other in drawn if other != unit][:5]
        assert len(others) == 5
        choices = [UnitChoice({site: [index]}) for index in (unit, *others)]
        outcomes = ablated_outcomes(model, CLIPS, choices, rows=1, progress=False)
        delta = outcomes.ablated.logit - outcomes.baseline.logit
        own = outcomes.labels == int(concept[-1])
        selectivity = delta[:, ~own].mean(1) - delta[:, own].mean(1)
        assert row.numbers.own.value == pytest.approx(delta[0, own].mean(), abs=1e-5)
        assert row.numbers.others.value == pytest.approx(delta[0, ~own].mean(), abs=1e-5)
        assert row.numbers.selectivity.value == pytest.approx(selectivity[0], abs=1e-5)
        assert row.numbers.control_selectivity.value == pytest.approx(selectivity[1:].mean(), abs=1e-5)
        assert row.numbers.excess.value == pytest.approx(selectivity[0] - selectivity[1:].mean(), abs=1e-5)
        assert row.numbers.p == pytest.approx((1 + (selectivity[1:] >= selectivity[0]).sum()) / 6)


def test_a_unit_that_makes_its_class_stands_out_of_all_others() -> None:
    model = loaded("ast")
    with torch.no_grad():
        model.wrapped.classifier.dense.weight.zero_()
        model.wrapped.classifier.dense.bias.zero_()
    head = "unembed.hook_out"
    model.wrapped.classifier.dense.bias.data[1] = 5.0  # the logit of class 1 hangs on its own unit alone
    (row,) = causal_effects(model, CLIPS, None, {(head, 1): "label_1"}, controls=20, **SETTINGS)
    assert row.controls == 4  # the site has no more
    assert row.numbers.own.value == pytest.approx(-5)
    assert row.numbers.others.value == pytest.approx(0)
    assert row.numbers.excess.value == pytest.approx(5)
    assert row.numbers.p == 1 / 5


def test_sets_of_units_have_controls_without_any_of_theirs() -> None:
    model = loaded("ast")
    choice = UnitChoice({SITE: range(10), "blocks.0.hook_attn_out": [1]}, "ocp", "label_1")
    (row,) = causal_effects(model, CLIPS, None, [choice], controls=4, outcome="probability", **SETTINGS)
    assert (row.site, row.unit, row.units, row.controls) == (None, None, 11, 4)
    assert row.failure is None


def test_whose_a_clip_is_can_be_said_otherwise() -> None:
    model = loaded("ast")
    (row,) = causal_effects(
        model, CLIPS, None, {(SITE, 0): "early"}, belongs=lambda _, clip: clip.id < 3, controls=2, **SETTINGS
    )
    assert (row.clips, row.other_clips) == (3, 9)


def test_a_concept_without_clips_is_said_and_stops_no_other() -> None:
    model = loaded("ast")
    units = {(SITE, 0): "thunder", (SITE, 1): "label_1"}
    without, row = causal_effects(model, CLIPS, None, units, controls=2, **SETTINGS)
    assert without.failure == "there is no clip of 'thunder'"
    assert without.numbers is None
    assert row.failure is None
    assert causal_effects(model, CLIPS, None, {}, **SETTINGS) == []
    with pytest.raises(ValueError, match="every choice needs a concept"):
        causal_effects(model, CLIPS, None, [UnitChoice({SITE: [1]})], **SETTINGS)
    with pytest.raises(ValueError, match="unknown outcome"):
        causal_effects(model, CLIPS, None, units, outcome="loss", **SETTINGS)
