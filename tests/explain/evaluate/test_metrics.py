"""Pearson and average precision of many predictions of many units, against the plainest way to compute them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from and_nnsight.explain.evaluate.metrics import (
    average_precisions,
    clips_of,
    correlations,
    places,
    positives,
    standardised,
)
from tests.explain.evaluate.scored import plain_average_precision


@pytest.fixture
def predicted() -> torch.Tensor:
    rng = np.random.default_rng(1)
    smooth, coarse = rng.standard_normal((5, 60)), rng.integers(0, 4, (5, 60))
    return torch.from_numpy(np.concatenate([smooth, coarse, np.zeros((1, 60))]).astype(np.float32))


@pytest.fixture
def activations() -> torch.Tensor:
    rng = np.random.default_rng(2)
    values = rng.standard_normal((9, 60))
    values[3:6] = np.maximum(values[3:6] - 1, 0)  # a rectified unit, mostly zero
    values[6] = values[6] > 0.3  # one of two values
    values[7] = 2.5  # constant
    return torch.from_numpy(values.astype(np.float32))


def test_average_precision_is_that_of_the_definition_with_and_without_ties(predicted, activations) -> None:
    chosen = positives(activations, 0.2)
    clips = clips_of(chosen)
    ranked = places(predicted)
    for prediction in range(len(predicted)):
        got = average_precisions(ranked, torch.full((len(activations),), prediction), clips)
        for unit in range(len(activations)):
            if not chosen[unit].any():
                assert got[unit].isnan()
                continue
            expected = plain_average_precision(predicted[prediction].numpy(), chosen[unit].numpy())
            assert got[unit].item() == pytest.approx(expected, abs=1e-6)


def test_a_prediction_that_is_the_same_for_all_clips_reaches_the_base_rate(activations) -> None:
    chosen = positives(activations, 0.2)
    got = average_precisions(places(torch.ones(1, 60)), torch.zeros(9, dtype=torch.int64), clips_of(chosen))
    assert got[0].item() == pytest.approx(chosen[0].float().mean().item())


def test_correlations_are_numpys_and_zero_where_nothing_varies(predicted, activations) -> None:
    got = correlations(standardised(predicted), standardised(activations))
    for unit in range(9):
        for prediction in range(11):
            constant = unit == 7 or prediction == 10
            pair = np.corrcoef(activations[unit], predicted[prediction])[0, 1] if not constant else 0.0
            assert got[unit, prediction].item() == pytest.approx(pair, abs=2e-6)


def test_a_constant_that_rounding_blurs_is_still_constant() -> None:
    assert (standardised(torch.full((1, 999), 0.1)) == 0).all()


def test_order_of_the_clips_and_company_of_other_units_make_no_difference(predicted, activations) -> None:
    order = torch.randperm(60, generator=torch.Generator().manual_seed(0))
    which = torch.arange(9) % 5
    alone = [
        average_precisions(places(predicted[unit % 5][None]), torch.tensor([0]), clips_of(positives(row[None], 0.2)))
        for unit, row in enumerate(activations)
    ]
    shuffled = positives(activations[:, order], 0.2)
    together = average_precisions(places(predicted[:, order]), which, clips_of(shuffled))
    torch.testing.assert_close(together, torch.cat(alone), equal_nan=True)


def test_positives_are_the_top_share_where_nothing_is_tied() -> None:
    row = torch.arange(40.0)[None]
    assert positives(row, 0.1)[0].nonzero()[:, 0].tolist() == [36, 37, 38, 39]
    assert positives(row, 0.001).sum() == 1, "one clip at least"
    assert positives(row, 0.999).sum() == 39, "and not all of them"


def test_clips_tied_across_the_border_are_left_out() -> None:
    rectified = torch.tensor([[0.0] * 37 + [1, 2, 3]])
    assert positives(rectified, 0.2).sum() == 3, "not the zeros"
    level = torch.tensor([[0.0] * 30 + [1] * 8 + [2, 3]])
    assert positives(level, 0.1).sum() == 2, "two of the four: the next eight are alike"


def test_a_unit_of_two_values_fires_on_the_higher_one_and_a_constant_never() -> None:
    assert positives(torch.tensor([[0.0] * 20 + [1.0] * 20]), 0.1).sum() == 20
    assert positives(torch.full((1, 40), 3.0), 0.1).sum() == 0


def test_chosen_clips_are_listed_and_filled_up() -> None:
    chosen = torch.tensor([[False, True, True], [False, False, False], [True, False, False]])
    assert clips_of(chosen).tolist() == [[1, 2], [-1, -1], [0, -1]]
    assert clips_of(torch.zeros(2, 3, dtype=torch.bool)).tolist() == [[-1], [-1]]


def test_of_no_units_there_is_no_average_precision() -> None:
    ranked = places(torch.randn(3, 5, generator=torch.Generator().manual_seed(0)))
    none = average_precisions(ranked, torch.zeros(0, dtype=torch.int64), clips_of(torch.zeros(0, 5, dtype=torch.bool)))
    assert none.shape == (0,)
    assert none.dtype == torch.float64
