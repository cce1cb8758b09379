"""Shares, chances and intervals of what a listener judges: held against enumeration, and calibrated on noise."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from and_nnsight.explain.evaluate.listening.measures import (
    areas,
    chance_of_area,
    chance_of_difference,
    chance_of_finding,
    chance_of_sum,
    interval,
    intruder_credit,
    judged_rightly,
)

FITS = st.lists(st.integers(0, 4), min_size=2, max_size=8)


def labelled(fits: list[int]) -> tuple[np.ndarray, np.ndarray]:
    return np.array(fits, float), np.arange(len(fits)) < len(fits) // 2


def area_by_pairs(fits: np.ndarray, fires: np.ndarray) -> float:
    pairs = [(one, other) for one in fits[fires] for other in fits[~fires]]
    return sum(1.0 if one > other else 0.5 if one == other else 0.0 for one, other in pairs) / len(pairs)


@given(FITS)
def test_the_area_is_that_of_all_pairs_and_its_chance_that_of_all_choices(fits: list[int]) -> None:
    values, fires = labelled(fits)
    own = area_by_pairs(values, fires)
    assert areas(values[None], fires)[0] == pytest.approx(own)
    every = []
    for chosen in combinations(range(len(fits)), int(fires.sum())):
        mask = np.isin(np.arange(len(fits)), chosen)
        every.append(area_by_pairs(values, mask))
    assert chance_of_area(values, fires) == pytest.approx(np.mean([area >= own - 1e-12 for area in every]))


@given(FITS, st.integers(1, 4), st.randoms())
def test_the_chance_of_a_difference_is_that_of_all_choices(fits: list[int], statements: int, random) -> None:
    values, fires = labelled(fits)
    others = np.array([[random.randrange(4) for _ in fits] for _ in range(statements)], float)

    def difference(mask: np.ndarray) -> float:
        return area_by_pairs(values, mask) - np.mean([area_by_pairs(one, mask) for one in others])

    every = []
    for chosen in combinations(range(len(fits)), int(fires.sum())):
        every.append(difference(np.isin(np.arange(len(fits)), chosen)))
    expected = np.mean([one >= difference(fires) - 1e-12 for one in every])
    assert chance_of_difference(values, others, fires) == pytest.approx(expected)
    assert chance_of_difference(values, np.stack([values, values + 1]), fires) == 1.0, "whatever is said"


@pytest.mark.slow
@settings(max_examples=25)
@given(FITS)
def test_without_a_threshold_the_better_half_is_chosen_and_ties_are_drawn_by_lot(fits: list[int]) -> None:
    values, fires = labelled(fits)
    rightly = []
    for order in (np.random.default_rng(seed).permutation(len(fits)) for seed in range(400)):
        ranked = order[np.argsort(-values[order], kind="stable")]
        chosen = np.isin(np.arange(len(fits)), ranked[: int(fires.sum())])
        rightly.append((chosen == fires).mean())
    assert judged_rightly(values, fires, None) == pytest.approx(np.mean(rightly), abs=0.08)


def test_with_a_threshold_a_clip_fits_above_it_and_half_at_it() -> None:
    fires = np.array([True, True, False, False])
    assert judged_rightly(np.array([0.9, 0.2, 0.1, 0.8]), fires, 0.5) == 0.5
    assert judged_rightly(np.array([0.9, 0.8, 0.7, 0.6]), fires, 0.5) == 0.5, "who says yes to all is right by half"
    assert judged_rightly(np.array([0.9, 0.8, 0.7, 0.6]), fires, None) == 1.0
    assert judged_rightly(np.full(4, 0.5), fires, 0.5) == 0.5


def test_whoever_says_the_same_of_all_reaches_chance_and_no_more() -> None:
    same, fires = np.ones(10), np.arange(10) < 5
    assert judged_rightly(same, fires, None) == 0.5
    assert areas(same[None], fires)[0] == 0.5
    assert chance_of_area(same, fires) == 1.0
    assert intruder_credit(np.ones(5), 3) == pytest.approx(0.2)
    assert chance_of_finding([np.ones(5)] * 4, [0, 1, 2, 3]) == pytest.approx(1.0)


@given(st.lists(st.lists(st.integers(0, 3), min_size=3, max_size=3), min_size=1, max_size=4), st.randoms())
def test_the_chance_of_finding_intruders_is_that_of_all_their_places(line_ups: list[list[int]], random) -> None:
    fits = [np.array(one, float) for one in line_ups]
    places = [random.randrange(3) for _ in fits]
    own = sum(intruder_credit(one, place) for one, place in zip(fits, places, strict=True))
    every = [
        sum(intruder_credit(one, place) for one, place in zip(fits, some, strict=True))
        for some in product(range(3), repeat=len(fits))
    ]
    assert chance_of_finding(fits, places) == pytest.approx(np.mean([total >= own - 1e-9 for total in every]))


@pytest.mark.parametrize("levels", [2, 1_000], ids=["yes or no", "any number"])
def test_of_answers_at_random_no_more_are_called_rare_than_are_rare(levels: int) -> None:
    random, fires = np.random.default_rng(0), np.arange(10) < 5
    fits = random.integers(levels, size=(2_000, 10)).astype(float)
    chances = np.array([chance_of_area(one, fires) for one in fits])
    line_ups = [([*random.random((4, 5))], random.integers(5, size=4).tolist()) for _ in range(2_000)]
    found = np.array([chance_of_finding(some, places) for some, places in line_ups])
    for share in (0.05, 0.2, 0.5):
        slack = 4 * (share * (1 - share) / 2_000) ** 0.5
        assert (chances <= share).mean() <= share + slack
        assert (found <= share).mean() <= share + slack
    assert (chances <= 0.5).mean() > 0.15, "and not so careful that nothing would ever be seen"
    assert (found <= 0.6).mean() > 0.5


@pytest.mark.parametrize("together", [0.0, 0.3], ids=["each for itself", "those of a group alike"])
@pytest.mark.parametrize(("groups", "share"), [(8, 0.7), (40, 0.5), (40, 0.9)])
def test_the_interval_holds_the_true_share_19_times_of_20(groups: int, share: float, together: float) -> None:
    random, held, widths = np.random.default_rng(1), 0, []
    for _ in range(600):
        counts = random.integers(1, 6, groups) * 10.0
        chances = np.full(groups, share)
        if together:
            spread = 1 / together - 1
            chances = random.beta(share * spread, (1 - share) * spread, groups)
        ends = interval(random.binomial(counts.astype(int), chances).astype(float), counts)
        assert ends is not None
        held += ends[0] <= share <= ends[1]
        widths.append(ends[1] - ends[0])
    assert 0.91 <= held / 600 <= 0.995
    if not together and groups == 40:
        assert np.mean(widths) < 0.08, "1,200 judgements tell more than 40"


def test_all_right_is_not_certain_and_few_groups_have_no_interval() -> None:
    counts = np.full(20, 10.0)
    ends = interval(counts, counts)
    assert ends is not None
    assert 0.8 < ends[0] < 0.9
    assert ends[1] == pytest.approx(1.0)
    assert interval(counts[:4], counts[:4]) is None
    assert interval(np.zeros(0), np.zeros(0)) is None


def test_the_chance_of_a_sum_is_that_of_all_signs() -> None:
    random = np.random.default_rng(2)
    for groups in (1, 3, 8):
        sums = random.normal(0.3, 1, groups)
        every = [np.dot(signs, sums) for signs in product((-1, 1), repeat=groups)]
        assert chance_of_sum(sums) == pytest.approx(np.mean([total >= sums.sum() - 1e-9 for total in every]))
    assert chance_of_sum(np.zeros(20)) == 1.0, "no difference is no evidence"
    assert chance_of_sum(np.full(30, 0.1)) == pytest.approx(1 / 10_001)
    chances = np.array([chance_of_sum(random.normal(0, 1, 16)) for _ in range(200)])
    assert 0.3 < (chances <= 0.5).mean() < 0.7
    assert (chances <= 0.05).mean() < 0.12
