"""What the same five clips tell by other means than captions that carry a phrase."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from and_nnsight import Dissection
from and_nnsight.explain import score_concepts
from and_nnsight.unlearn import ChoiceError, choose, ranked
from and_nnsight.unlearn.selectors.keys import known_classes
from tests.explain.activations_dissection import SITE, activations_dissection

LABELS = ["dog"] * 8 + ["flute"] * 8 + ["pan_flute"] * 8
CAPTIONS = ["A dog barks."] * 6 + ["A thing is heard."] * 2 + ["A flute plays."] * 8 + ["A pan flute plays."] * 8
CLIPS = len(LABELS)


@pytest.fixture
def dissection(tmp_path: Path) -> Dissection:
    return activations_dissection(tmp_path / "run", activations(), k=8, labels=LABELS, captions=CAPTIONS)


def activations() -> np.ndarray:
    values = np.random.default_rng(0).normal(size=(CLIPS, 7))
    for unit, clips in enumerate(([0, 1, 2, 3, 4], [6, 7, 0, 8, 9], [8, 9, 10, 0, 1], [0, 1, 2, 8, 9])):
        values[clips, unit] = [9.0, 8.5, 8.0, 7.5, 7.0]
    values[:, 6] = 0.0
    return values


def test_labels_of_the_five_are_counted_and_nothing_else_is_seen(dissection: Dissection) -> None:
    ranking = ranked(dissection, "dog", method="labels_top5")
    shares = {}
    for unit in range(7):
        order = np.argsort(-activations()[:, unit], kind="stable")[:5]
        shares[unit] = 0.0 if unit == 6 else sum(LABELS[clip] == "dog" for clip in order) / 5
    units = [unit for _, unit in ranking.units]
    assert [shares[unit] for unit in units] == sorted(shares.values(), reverse=True)
    assert ranking.default_count == sum(share >= 0.6 for share in shares.values())
    assert choose(dissection, "dog", method="labels_top5").units == {SITE: (0, 1, 3)}


def test_captions_of_the_five_are_weighed_as_db_weighs_them(dissection: Dissection) -> None:
    scores = score_concepts(dissection, known_classes(dissection), "db", progress=False)
    fit = scores.values[:, scores.names.index("dog")].numpy()
    units = [unit for _, unit in ranked(dissection, "dog", method="db_top5").units]
    means = {}
    for unit in range(6):
        order = np.argsort(-activations()[:, unit], kind="stable")[:5]
        strong = activations()[order, unit] - activations()[:, unit].mean()
        means[unit] = float((fit[order] * (strong >= 0.2 * strong[0])).sum() / 5)
    means[6] = 0.0  # a constant unit has no exemplar that is evidence
    assert [means[unit] for unit in units] == sorted(means.values(), reverse=True)
    assert units[0] == 0


def test_ties_beyond_the_border_are_no_evidence(tmp_path: Path) -> None:
    values = np.zeros((CLIPS, 2))
    values[8, 0] = 1.0  # the rest of its list are zeros in the order of the files: dogs
    values[[0, 8, 9, 10, 11], 1] = [5, 4, 3, 2.5, 2]
    dissection = activations_dissection(tmp_path / "run", values, k=6, labels=LABELS, captions=CAPTIONS)
    for method in ("labels_top5", "db_top5"):
        assert [unit for _, unit in ranked(dissection, "dog", method=method).units] == [1, 0]


def test_a_concept_that_is_no_class_is_refused(dissection: Dissection) -> None:
    for method in ("labels_top5", "db_top5"):
        with pytest.raises(ChoiceError, match="'dogs' is none of the concepts and labels .*near names: dog"):
            choose(dissection, "dogs", method=method, count=1)
