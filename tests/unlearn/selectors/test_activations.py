"""Frequency, entropy, deviation and contrast, each against sums that are written out."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from and_nnsight import Dissection, DissectionError
from and_nnsight.unlearn import ChoiceError, choose, ranked
from and_nnsight.unlearn.selectors.activations import SELECTORS, class_statistics
from tests.explain.activations_dissection import SITE, activations_dissection

CLASSES = ("bell", "dog", "rain")
LABELS = [CLASSES[place % 3] for place in range(17)]
UNITS = 12


def activations() -> np.ndarray:
    """Some classes fire some units; unit 10 is constant, unit 11 never active."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(len(LABELS), UNITS))
    for unit in range(9):
        values[[label == CLASSES[unit % 3] for label in LABELS], unit] += 0.4 * unit
    values[:, 10], values[:, 11] = 2.0, -np.abs(values[:, 11])
    return values.astype(np.float32)


def columns(values: np.ndarray, unit: int, label: str) -> tuple[list[float], list[float]]:
    """A unit's finite values on the class's clips, and on all others."""
    finite = [(float(value), own) for value, own in zip(values[:, unit], LABELS, strict=True) if math.isfinite(value)]
    return [value for value, own in finite if own == label], [value for value, own in finite if own != label]


def mean(values: list[float]) -> float:
    return math.fsum(values) / len(values)


def active(values: list[float]) -> float:
    return sum(value > 0 for value in values) / len(values)


def naive(values: np.ndarray, unit: int, label: str, method: str) -> tuple[float, ...] | None:
    own, others = columns(values, unit, label)
    every = own + others
    spread = math.sqrt(mean([(value - mean(every)) ** 2 for value in every]))
    if method == "frequency":
        return (active(own) - active(others),)
    if method == "entropy":
        shares = {name: active(columns(values, unit, name)[0]) for name in CLASSES}
        if shares[label] == 0:
            return None
        normed = [share / sum(shares.values()) for share in shares.values() if share]
        higher = sum(share > shares[label] for share in shares.values())
        return (-higher, math.fsum(p * math.log(p) for p in normed))
    if spread == 0:
        return None
    if method == "deviation":
        return ((mean(own) - mean(every)) / spread,)
    return ((mean(own) - max(mean(columns(values, unit, name)[0]) for name in CLASSES if name != label)) / spread,)


@pytest.mark.parametrize("method", SELECTORS)
@pytest.mark.parametrize("label", CLASSES)
def test_units_are_ranked_by_the_formula(method: str, label: str, tmp_path: Path) -> None:
    values = activations()
    dissection = activations_dissection(tmp_path / "run", values, k=3, kept=True, labels=LABELS)
    keys = {unit: key for unit in range(UNITS) if (key := naive(values, unit, label, method)) is not None}
    units = [unit for _, unit in ranked(dissection, label, method=method).units]
    assert sorted(units) == sorted(keys)
    for first, second in pairwise(units):
        assert tuple(round(part, 9) for part in keys[first]) >= tuple(round(part, 9) for part in keys[second])


@pytest.mark.parametrize("method", SELECTORS)
def test_the_numbers_are_the_naive_ones_and_what_is_not_finite_is_left_out(method: str) -> None:
    values = activations().astype(np.float64)
    values[3, 2] = np.nan
    values[4, 5] = np.inf
    labels = np.array([CLASSES.index(label) for label in LABELS])
    statistics = class_statistics(values, labels, 3)
    for number, label in enumerate(CLASSES):
        parts = SELECTORS[method](statistics, number)
        for unit in range(UNITS):
            key = tuple(float(part[unit]) for part in parts)
            expected = naive(values, unit, label, method)
            if expected is None:
                assert all(math.isnan(part) for part in key)
            else:
                assert key == pytest.approx(expected, abs=1e-9)


def test_entropy_assigns_units_to_the_class_with_the_highest_probability(tmp_path: Path) -> None:
    values = np.full((len(LABELS), 3), -1.0, np.float32)
    dogs = [place for place, label in enumerate(LABELS) if label == "dog"]
    rains = [place for place, label in enumerate(LABELS) if label == "rain"]
    values[dogs, 0] = 1.0  # dogs alone
    values[dogs, 1] = values[rains[:2], 1] = 1.0  # dogs, and some rain
    values[rains, 2] = values[dogs[:2], 2] = 1.0  # rain, and some dogs
    dissection = activations_dissection(tmp_path / "run", values, k=3, kept=True, labels=LABELS)
    assert [unit for _, unit in ranked(dissection, "dog", method="entropy").units] == [0, 1, 2]
    assert [unit for _, unit in ranked(dissection, "rain", method="entropy").units] == [2, 1]
    assert choose(dissection, "Dog", method="entropy", share=1 / 3).units == {SITE: (0,)}


def test_clips_without_a_label_belong_to_no_class() -> None:
    values = activations().astype(np.float64)
    labels = np.array([CLASSES.index(label) for label in LABELS])
    labels[5] = -1
    statistics = class_statistics(values, labels, 3)
    own = values[labels == 2]
    np.testing.assert_allclose(statistics.means[2], own.mean(0))
    np.testing.assert_allclose(statistics.mean, values.mean(0))
    np.testing.assert_allclose(statistics.others_active[2], (values[labels != 2] > 0).mean(0))


@pytest.mark.parametrize("method", SELECTORS)
def test_without_kept_activations_the_option_is_named(method: str, tmp_path: Path) -> None:
    dissection = activations_dissection(tmp_path / "run", activations(), k=3, labels=LABELS)
    with pytest.raises(DissectionError, match="dissect again with --keep-activations"):
        choose(dissection, "dog", method=method, count=1)


def test_a_concept_that_labels_no_clip_is_refused(tmp_path: Path) -> None:
    dissection: Dissection = activations_dissection(tmp_path / "run", activations(), k=3, kept=True, labels=LABELS)
    with pytest.raises(ChoiceError, match="no clip of .* is labelled 'dogs'; near names: dog"):
        choose(dissection, "dogs", method="contrast", count=1)
