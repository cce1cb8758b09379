"""What the benchmark makes of a dissection, and how it judges."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from and_nnsight import AudioModel, ConceptScores, dissect
from and_nnsight.explain import label
from and_nnsight.statistics.bootstrap import Estimate
from and_nnsight.unlearn import Measurement, UnitChoice, measure
from benchmarks.unlearning import (
    METHODS,
    Subject,
    aim,
    calibration,
    choices_of,
    measured_clips,
    trained_subject,
    verdict,
)
from tests.families import FAMILIES
from tests.sounds_for_tests import ragged
from tests.unlearn.models import CLIPS, loaded

SITE = "blocks.0.mlp.hook_post"


def test_every_method_chooses_as_many_units_and_what_it_lacks_is_said(tmp_path: Path) -> None:
    torch.manual_seed(0)
    family, clips = FAMILIES["ast"], [{**clip, "caption": f"A {clip['label']}."} for clip in ragged(9)]
    model = AudioModel(family.build(), feature_extractor=family.extractor())
    scores = ConceptScores.from_labels({place: str(clip["label"]) for place, clip in enumerate(clips)})
    dissection = dissect(
        model, clips, SITE, 4, out=tmp_path / "run", concepts=scores, keep_activations=True, progress=False
    )  # fmt: skip
    label(dissection, "labels", method="db", progress=False)
    choices, lacking = choices_of(dissection, ["label 1", "thunder"], 0.1, seed=0)
    assert [choice.method for choice in choices] == [*METHODS, "random"]
    assert {choice.count for choice in choices} == {6}
    assert lacking == {method: ["thunder"] for method in METHODS}


def test_other_classes_are_thinned_and_those_that_are_unlearned_are_not() -> None:
    subject = Subject("x", None, None, [{"label": name} for name in "aabbbcc"], {}, Path())
    assert [clip["label"] for clip in measured_clips(subject, ["b"], 1)] == list("abbbc")
    assert measured_clips(subject, ["b"], 9) == subject.held_out


@pytest.fixture(scope="module")
def measurement() -> Measurement:
    units = {"blocks.0.mlp.hook_post": range(20)}
    choices = [UnitChoice(units, method, f"label_{number}") for method in ("ocp", "random") for number in (1, 2)]
    return measure(loaded("ast"), CLIPS, choices, draws=6, bootstrap=50, progress=False)


def test_every_draw_beside_ocp_is_held_against_the_others(measurement: Measurement) -> None:
    found = calibration(measurement, 50, 0)
    assert found["random_choices"] == 2 * 6
    assert 0 <= found["interval_excludes_zero"] <= 1
    assert found["p_at_most_0.5"] == pytest.approx(0.5, abs=0.01)  # of six each, three are among the better half


def test_the_aim_counts_the_classes_of_ocp(measurement: Measurement) -> None:
    rows = [row for row in measurement.rows() if row.method == "ocp"]
    found = aim(measurement)
    assert found["classes"] == 2
    assert found["selectivity"] == pytest.approx(sum(row.logit.selectivity.value for row in rows) / 2, abs=1e-3)
    assert found["told_from_chance"] == sum(row.logit.excess.low > 0 for row in rows)


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (0.1, 0.3, "better than its controls"),
        (-0.1, 0.3, "no better than chance"),
        (-0.3, -0.1, "worse than its controls"),
    ],
)
def test_a_verdict_is_that_of_the_prediction_interval(low: float, high: float, said: str) -> None:
    assert verdict(Estimate(0.0, low, high)) == said


def test_a_model_of_other_making_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no training\.json: train it with"):
        trained_subject(tmp_path, tmp_path, tmp_path / "run")
