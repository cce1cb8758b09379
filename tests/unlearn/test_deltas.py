"""Changes and their intervals against sums that are written out."""

from __future__ import annotations

import math

import numpy as np
import pytest

from and_nnsight.unlearn.deltas import chance, changes, clip_weights, draw_weights, estimate

LABELS = np.array([0, 0, 0, 1, 1, 2, 2, 2, 2])
RNG = np.random.default_rng(0)
DELTA = RNG.normal(size=(5, len(LABELS)))
TARGETS = np.array([0, 1, 2, 0, 1])


def naive(delta: np.ndarray, target: int, weights: np.ndarray) -> tuple[float, float]:
    """The mean change over the target's clips and over the others, each clip as often as its weight."""
    own: list[float] = []
    others: list[float] = []
    for value, label, weight in zip(delta, LABELS, weights, strict=True):
        (own if label == target else others).extend([value] * int(weight))
    return math.fsum(own) / len(own), math.fsum(others) / len(others)


def test_changes_are_means_over_own_and_other_clips_in_every_replicate() -> None:
    weights = clip_weights(LABELS, 50, 3)
    found = changes(DELTA, LABELS, TARGETS, weights)
    for replicate in range(51):
        for variant, target in enumerate(TARGETS):
            own, others = naive(DELTA[variant], target, weights[replicate])
            assert found.own[replicate, variant] == pytest.approx(own, abs=1e-12)
            assert found.others[replicate, variant] == pytest.approx(others, abs=1e-12)
            assert found.selectivity[replicate, variant] == pytest.approx(others - own, abs=1e-12)


def test_the_first_row_is_the_data_and_replicates_keep_each_classs_number_of_clips() -> None:
    weights = clip_weights(LABELS, 200, 0)
    assert (weights[0] == 1).all()
    assert not (weights[1:] == 1).all()
    for number in range(3):
        assert (weights[:, number == LABELS].sum(1) == np.count_nonzero(number == LABELS)).all()
    assert np.array_equal(weights, clip_weights(LABELS, 200, 0))
    assert not np.array_equal(weights, clip_weights(LABELS, 200, 1))


def test_draws_count_once_then_are_drawn_anew() -> None:
    weights = draw_weights(4, 5, 100, 0)
    assert weights.shape == (101, 4, 5)
    assert (weights[0] == 1).all()
    assert (weights.sum(2) == 5).all()
    assert draw_weights(4, 0, 10, 0).shape == (11, 4, 0)


def test_an_interval_is_of_percentiles_and_none_without_replicates() -> None:
    values = np.concatenate([[7.0], np.arange(101.0)])
    assert estimate(values) == (7.0, 2.5, 97.5)
    assert estimate(values[:1]) == (7.0, None, None)


def test_p_of_one_choice_is_its_place_among_its_draws() -> None:
    assert chance(np.array([[3.0, 1.0, 2.0, 0.0]]), 0) == 1 / 4
    assert chance(np.array([[1.0, 1.0, 2.0, 0.0]]), 0) == 3 / 4


def test_p_of_several_choices_is_that_of_every_exchange() -> None:
    values = np.array([[3.0, 1.0, 2.5], [0.2, 0.1, 0.9], [1.0, 0.0, 0.5]])
    sums = [first + second + third for first in values[0] for second in values[1] for third in values[2]]
    exact = np.mean([total >= values[:, 0].sum() - 1e-12 for total in sums])
    assert chance(values, 0, 200_000) == pytest.approx(exact, abs=0.005)


def test_p_of_random_units_is_as_often_small_as_it_says() -> None:
    rng = np.random.default_rng(0)
    found = np.array([chance(rng.normal(size=(8, 6)), trial, 400) for trial in range(400)])
    assert 0.02 < (found < 0.05).mean() < 0.09
    assert 0.4 < (found < 0.5).mean() < 0.6


def test_the_interval_covers_the_true_mean_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    labels = np.repeat([0, 1], 30)
    hits = 0
    for trial in range(300):
        delta = rng.normal(0.5, 1.0, size=(1, 60))
        delta[:, 30:] -= 0.5  # the others do not change
        found = estimate(changes(delta, labels, np.array([0]), clip_weights(labels, 300, trial)).selectivity[:, 0])
        assert found.low is not None
        assert found.high is not None
        hits += found.low <= -0.5 <= found.high
    assert 0.90 <= hits / 300 <= 0.98
