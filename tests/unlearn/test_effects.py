"""Changes and their intervals against sums that are written out."""

from __future__ import annotations

import math

import numpy as np
import pytest

from and_nnsight.statistics.bootstrap import clip_weights, estimate
from and_nnsight.unlearn.effects import chance, changes, prediction

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
    changed = changes(DELTA, LABELS, TARGETS, weights)
    for replicate in range(51):
        for variant, target in enumerate(TARGETS):
            own, others = naive(DELTA[variant], target, weights[replicate])
            assert changed.own[replicate, variant] == pytest.approx(own, abs=1e-12)
            assert changed.others[replicate, variant] == pytest.approx(others, abs=1e-12)
            assert changed.selectivity[replicate, variant] == pytest.approx(others - own, abs=1e-12)


def test_the_first_row_is_the_data_and_replicates_keep_each_classs_number_of_clips() -> None:
    weights = clip_weights(LABELS, 200, 0)
    assert (weights[0] == 1).all()
    assert not (weights[1:] == 1).all()
    for number in range(3):
        assert (weights[:, number == LABELS].sum(1) == np.count_nonzero(number == LABELS)).all()
    assert np.array_equal(weights, clip_weights(LABELS, 200, 0))
    assert not np.array_equal(weights, clip_weights(LABELS, 200, 1))


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
    p = np.array([chance(rng.normal(size=(8, 6)), trial, 400) for trial in range(400)])
    assert 0.02 < (p < 0.05).mean() < 0.09
    assert 0.4 < (p < 0.5).mean() < 0.6


def test_the_interval_covers_the_true_mean_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    labels = np.repeat([0, 1], 30)
    hits = 0
    for trial in range(300):
        delta = rng.normal(0.5, 1.0, size=(1, 60))
        delta[:, 30:] -= 0.5  # the others do not change
        interval = estimate(changes(delta, labels, np.array([0]), clip_weights(labels, 300, trial)).selectivity[:, 0])
        assert interval.low is not None
        assert interval.high is not None
        hits += interval.low <= -0.5 <= interval.high
    assert 0.90 <= hits / 300 <= 0.98


def test_p_counts_the_choice_itself_among_what_chance_does() -> None:
    values = np.zeros((12, 21))
    values[:, 0] = 1.0  # no exchange but one in 21^12 does as well: without itself, p would be zero
    assert chance(values, 0, 4_000) == 1 / 4_001
    assert chance(np.array([[1.0, 0.0, 0.0, 0.0]]), 0) == 1 / 4
    assert chance(np.array([[0.0, 1.0, 1.0, 1.0]]), 0) == 1.0


def selectivities(rng: np.random.Generator, choices: int, draws: int, replicates: int, seed: int) -> np.ndarray:
    """Of random choices and their draws, units' effects on a few own clips and some others; as `prediction` takes it.

    Clips differ, units differ, and each unit does something else to each clip: all that makes draws differ.
    """
    labels = np.array([0] * 6 + [1] * 12 + [2] * 12)
    own = labels == 0
    clips = rng.normal(size=(1, 1, 30)) * 0.5
    units = rng.normal(size=(choices, 1 + draws, 1)) * np.where(own, 0.4, 0.1)
    delta = clips + units + rng.normal(size=(choices, 1 + draws, 30)) * 0.5
    weights = clip_weights(labels, replicates, seed)
    changed = changes(delta.reshape(-1, 30), labels, np.zeros(choices * (1 + draws), dtype=np.int64), weights)
    return changed.selectivity.reshape(1 + replicates, choices, 1 + draws)


@pytest.mark.parametrize(("choices", "draws"), [(1, 5), (1, 20), (6, 5)])
def test_the_interval_of_random_choices_excludes_zero_one_time_in_twenty_and_p_is_uniform(
    choices: int, draws: int
) -> None:
    rng = np.random.default_rng(1)
    excluded, ps = 0, []
    for trial in range(500):
        values = selectivities(rng, choices, draws, 100, trial)
        excess = prediction(values)
        assert excess.low is not None
        assert excess.high is not None
        excluded += not excess.low <= 0 <= excess.high
        ps.append(chance(values[0], trial, 300))
    assert 0.025 <= excluded / 500 <= 0.08  # 0.05, give or take three standard errors
    for level in (0.2, 0.5, 0.8):
        least = level if choices > 1 else math.floor(level * (1 + draws)) / (1 + draws)  # p of one choice is a rank
        assert np.mean(np.array(ps) <= least + 1e-9) == pytest.approx(least, abs=0.07)


def test_the_interval_of_one_choice_is_students_over_its_draws() -> None:
    draws = np.array([0.3, -0.2, 0.1, 0.4, -0.1])
    values = np.concatenate([[2.0], draws])
    alike = np.broadcast_to(values, (50, 1, 6))  # clips make no difference
    mean, spread = draws.mean(), draws.std(ddof=1) * math.sqrt(1 + 1 / 5)
    excess = prediction(alike)
    assert excess.value == pytest.approx(2.0 - mean)
    assert excess.low == pytest.approx(2.0 - mean - 2.7764451 * spread)  # t of 4 degrees of freedom
    assert excess.high == pytest.approx(2.0 - mean + 2.7764451 * spread)


def test_over_several_choices_variances_add_up() -> None:
    rng = np.random.default_rng(2)
    values = np.concatenate([np.full((4, 1), 1.0), rng.normal(size=(4, 10))], 1)
    excess = prediction(np.broadcast_to(values, (20, 4, 11)))
    parts = values[:, 1:].var(1, ddof=1) * (1 + 1 / 10) / 16
    freedom = math.floor(parts.sum() ** 2 / (parts**2).sum() * 9)
    quantiles = {
        27: 2.0518305,
        28: 2.0484071,
        29: 2.0452296,
        30: 2.0422725,
        31: 2.0395134,
        32: 2.0369333,
        33: 2.0345153,
    }
    assert excess.low is not None
    assert excess.value - excess.low == pytest.approx(quantiles[freedom] * math.sqrt(parts.sum()), rel=1e-6)


def test_a_choice_that_hangs_on_its_clips_has_a_wider_interval_than_its_draws_give() -> None:
    rng = np.random.default_rng(3)
    values = np.zeros((400, 1, 6))
    values[:, 0, 1:] = np.array([0.1, -0.1, 0.05, 0.0, -0.05]) + 0.01 * rng.normal(size=(400, 5))
    values[:, 0, 0] = 1.0
    steady = prediction(values)
    values[:, 0, 0] += np.concatenate([[0.0], rng.normal(size=399)])
    hanging = prediction(values)
    assert steady.low is not None
    assert hanging.low is not None
    assert steady.low > 0.5
    assert hanging.low < -1.5


def test_one_draw_or_no_replicates_give_no_interval() -> None:
    assert prediction(np.ones((40, 2, 2))) == (0.0, None, None)
    assert prediction(np.ones((1, 2, 9))) == (0.0, None, None)
    alike = prediction(np.ones((40, 2, 9)))
    assert alike == (0.0, 0.0, 0.0)
