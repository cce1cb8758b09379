"""The statistics of the findings, held against scipy and against trying everything."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from and_nnsight.findings.statistics import line_through, mean_of, p_text, wilson

BEFORE_SCIPY = (-0.35224870393599966, -0.46540477706662225, -0.23909263080537707, 4.461156243948307e-09, 2 / 720)
MEAN_BEFORE_SCIPY = (-0.5342707557486537, 5.20093742241532)


def test_the_interval_of_a_share_is_scipys_wilson() -> None:
    from scipy import stats

    for hits, count in ((0, 10), (3, 10), (10, 10), (1, 1), (284, 8096)):
        low, high = stats.binomtest(hits, count).proportion_ci(method="wilson")
        assert wilson(hits, count) == pytest.approx((low, high), abs=1e-12)
    assert wilson(0, 0) == (0.0, 1.0), "nothing counted: nothing known"


def test_the_interval_of_a_mean_is_scipys() -> None:
    from scipy import stats

    values = np.array([1, 4, 2, 0, 0, 7], dtype=np.int64)
    found = mean_of(values)
    low, high = stats.t.interval(0.95, 5, values.mean(), stats.sem(values))
    assert (found.mean, found.low, found.high) == pytest.approx((values.mean(), low, high))
    assert (mean_of(values[:1]).mean, mean_of(values[:1]).low) == (1.0, None)
    assert mean_of(values[:0]).mean is None


def line(layers: list[int], values: list[float]):
    return line_through(np.array(layers, dtype=np.int64), np.array(values, dtype=np.float64))


def test_a_line_is_scipys_regression_over_units() -> None:
    from scipy import stats

    generator = np.random.default_rng(3)
    layers = generator.integers(0, 6, 200)
    values = generator.poisson(3 - 0.3 * layers).astype(np.float64)
    found = line_through(layers, values)
    assert found is not None
    truth = stats.linregress(layers, values)
    assert (found.slope, found.intercept, found.p_units) == pytest.approx(
        (truth.slope, truth.intercept, truth.pvalue), rel=1e-8
    )
    half = stats.t.ppf(0.975, 198) * truth.stderr
    assert (found.low, found.high) == pytest.approx((truth.slope - half, truth.slope + half), rel=1e-8)
    assert (found.units, found.layers, found.df) == (200, 6, 198)


def test_p_over_layers_is_the_share_of_orders_of_whole_layers_with_as_steep_a_line() -> None:
    generator = np.random.default_rng(5)
    layers = np.repeat([0, 1, 2, 4], [5, 9, 3, 7]).astype(np.int64)
    values = generator.normal(0.4 * layers, 1.0)
    found = line_through(layers, values)
    assert found is not None and found.exact and found.arrangements == 24
    steep = 0
    for order in permutations([0, 1, 2, 4]):
        moved = np.array([dict(zip([0, 1, 2, 4], order, strict=True))[layer] for layer in layers.tolist()])
        steep += abs(np.polyfit(moved, values, 1)[0]) >= abs(found.slope) - 1e-12
    assert found.p_layers == steep / 24


def test_p_over_layers_is_that_of_scipys_permutation_test() -> None:
    from scipy import stats

    layers, sizes = np.array([0, 1, 2, 4]), np.array([5, 9, 3, 7])
    at = np.repeat(layers, sizes).astype(np.int64)
    values = np.random.default_rng(5).normal(0.4 * at, 1.0)
    means = np.array([values[at == layer].mean() for layer in layers])

    def slope(order: np.ndarray) -> float:
        return abs(np.polyfit(order, means, 1, w=np.sqrt(sizes))[0])

    truth = stats.permutation_test((layers,), slope, permutation_type="pairings", alternative="greater")
    found = line_through(at, values)
    assert found is not None and found.p_layers == pytest.approx(truth.pvalue)


def test_the_numbers_are_those_from_before_scipy() -> None:
    """As they were computed by an incomplete beta function and least squares of our own."""
    generator = np.random.default_rng(3)
    layers = generator.integers(0, 6, 200)
    found = line_through(layers, generator.poisson(3 - 0.3 * layers).astype(np.float64))
    assert found is not None
    assert (found.slope, found.low, found.high, found.p_units, found.p_layers) == pytest.approx(BEFORE_SCIPY, rel=1e-9)
    values = np.array([1, 4, 2, 0, 0, 7], dtype=np.int64)
    assert (mean_of(values).low, mean_of(values).high) == pytest.approx(MEAN_BEFORE_SCIPY, rel=1e-9)


@pytest.mark.parametrize("layers", [[0, 1], [0, 1, 2], [3, 4, 5, 6], [0, 2, 4, 6], [0, 1, 2, 4], [0, 1, 5]])
def test_the_least_p_over_layers_is_that_of_a_straight_line(layers: list[int]) -> None:
    at = np.repeat(layers, 3).astype(np.int64)
    straight = line_through(at, np.array(at, np.float64))
    assert straight is not None and straight.p_layers == pytest.approx(straight.least_p_layers)
    for sizes in permutations(range(2, 2 + len(layers))):  # nor is it less where layers are of several sizes
        at = np.repeat(layers, sizes).astype(np.int64)
        other = line_through(at, np.array(at, np.float64))
        assert other is not None and other.p_layers >= other.least_p_layers - 1e-12


def test_on_noise_p_over_layers_is_below_a_tenth_once_in_ten_times_and_p_over_units_far_more_often() -> None:
    """Units of a layer have something of their own in common: it is what makes the t test over units too sure."""
    generator = np.random.default_rng(11)
    at = np.repeat(np.arange(6), 50).astype(np.int64)
    lines = [line_through(at, generator.normal(generator.normal(size=6)[at], 1.0)) for _ in range(300)]
    p_layers, p_units = (np.array([getattr(line, name) for line in lines]) for name in ("p_layers", "p_units"))
    assert 0.05 < (p_layers <= 0.1).mean() < 0.15
    assert (p_units <= 0.1).mean() > 0.5


def test_with_many_layers_orders_are_drawn_and_seeded() -> None:
    layers = np.repeat(np.arange(12), 20).astype(np.int64)
    values = np.random.default_rng(0).normal(-0.05 * layers, 0.3)
    one, again, other = (line_through(layers, values, seed) for seed in (1, 1, 2))
    assert one is not None and other is not None and one == again
    assert not one.exact and one.arrangements == 10_000
    assert 1 / 10_000 <= one.p_layers < 0.05 and abs(one.p_layers - other.p_layers) < 0.02


@pytest.mark.slow
@given(st.permutations(range(12)))
def test_a_line_does_not_depend_on_the_order_of_units(order: list[int]) -> None:
    layers, values = [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3], [1.0, 2, 3, 2, 2, 5, 1, 0, 0, 4, 0, 1]
    one, other = line(layers, values), line([layers[i] for i in order], [values[i] for i in order])
    assert one is not None and other is not None
    assert other.slope == pytest.approx(one.slope) and other.p_units == pytest.approx(one.p_units)
    assert other.p_layers == one.p_layers


def test_there_is_no_line_through_one_layer_or_two_units() -> None:
    assert line([2, 2, 2], [1, 2, 3]) is None
    assert line([0, 1], [1, 2]) is None
    assert line([], []) is None


def test_a_flat_line_has_p_one_and_a_perfect_one_p_zero() -> None:
    flat = line([0, 0, 1, 1], [3, 3, 3, 3])
    assert flat is not None and (flat.slope, flat.p_units, flat.p_layers) == (0, 1, 1)
    perfect = line([0, 1, 2, 0, 1, 2], [0, 1, 2, 0, 1, 2])
    assert perfect is not None and perfect.p_units < 1e-12 and perfect.p_layers == pytest.approx(2 / 6)


def test_p_is_printed_as_p() -> None:
    assert [p_text(p) for p in (1e-9, 0.0123, 0.25, 1.0)] == ["p < 0.001", "p = 0.012", "p = 0.25", "p = 1.00"]
