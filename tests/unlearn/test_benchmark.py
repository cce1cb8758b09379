"""What the benchmark makes of a dissection, and how it judges."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from and_nnsight import AudioModel, ConceptScores, dissect
from benchmarks.unlearning import METHODS, OWN_SIZE, choices_of, trained_subject, verdict
from tests.families import FAMILIES
from tests.sounds_for_tests import ragged
from tests.unlearn.explained import with_labels, with_nouns

SITE = "blocks.0.mlp.hook_post"


def test_methods_are_compared_at_equal_size_and_what_finds_nothing_is_said(tmp_path: Path) -> None:
    torch.manual_seed(0)
    family, clips = FAMILIES["ast"], ragged(9)
    model = AudioModel(family.build(), feature_extractor=family.extractor())
    scores = ConceptScores.from_labels({place: str(clip["label"]) for place, clip in enumerate(clips)})
    found = dissect(model, clips, SITE, 2, out=tmp_path / "run", concepts=scores, progress=False)
    with_nouns(found, {(SITE, unit): {"label": 1} for unit in range(8)})
    with_labels(found, [(SITE, unit, 0, "label 1", 0.5) for unit in range(20)])
    choices, about = choices_of(found, ["label 1", "thunder"], seed=0)
    sizes = {choice.method: choice.count for choice in choices}
    assert sizes == {f"ocp{OWN_SIZE}": 8, f"db{OWN_SIZE}": 20, **dict.fromkeys(METHODS, 8), "random": 8}
    assert about == {
        "classes": 2,
        "compared_at_equal_size": 1,
        "no_units": {"ocp": ["thunder"], "db": ["thunder"]},
    }


@pytest.mark.parametrize(
    ("low", "high", "p", "said"),
    [
        (0.1, 0.3, 0.001, "better than its controls"),
        (0.1, 0.3, 0.2, "no better than chance"),
        (-0.1, 0.3, 0.001, "no better than chance"),
        (-0.3, -0.1, 0.999, "worse than its controls"),
    ],
)
def test_a_verdict_is_that_of_the_interval_and_of_chance(low: float, high: float, p: float, said: str) -> None:
    assert verdict({"logit": {"excess": {"value": 0.0, "low": low, "high": high}, "p": p}}) == said


def test_a_model_of_other_making_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no training\.json: train it with"):
        trained_subject(tmp_path, tmp_path, tmp_path / "run")
