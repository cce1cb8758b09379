from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from and_nnsight.kernels import CrossState, cosine, cosine_cubed, cross_merge, cross_update, empty_cross, pearson
from tests.concept_oracle import similarities
from tests.kernels.score_tables import scores_of, tables, values_of
from tests.oracle import batches_of, examples


def empty(values: np.ndarray, scores: np.ndarray) -> CrossState:
    return empty_cross(values.shape[1], scores.shape[1], binary=bool(np.isin(scores, (0, 1)).all()))


def take(state: CrossState, values: np.ndarray, scores: np.ndarray) -> CrossState:
    return cross_update(state, torch.tensor(values), torch.tensor(scores))


def check(state: CrossState, values: np.ndarray, scores: np.ndarray) -> None:
    expected = similarities(values, scores, auprc=False)
    for name, found in {"pearson": pearson(state), "cos": cosine(state), "cos_cubed": cosine_cubed(state)}.items():
        np.testing.assert_allclose(found.numpy(), expected[name], rtol=0, atol=1e-10, err_msg=name)


@given(data=st.data(), table=tables())
@examples
def test_any_cut_into_batches_gives_what_the_table_gives(data: st.DataObject, table: tuple[np.ndarray, np.ndarray]):
    values, scores = table
    state = empty(values, scores)
    for batch in batches_of(data, len(values)):
        state = take(state, values[batch], scores[batch])
    check(state, values, scores)


@pytest.mark.slow
@given(data=st.data(), table=tables())
@examples
def test_any_order_of_merges_gives_what_the_table_gives(data: st.DataObject, table: tuple[np.ndarray, np.ndarray]):
    values, scores = table
    parts = [take(empty(values, scores), values[part], scores[part]) for part in batches_of(data, len(values))]
    while len(parts) > 1:
        one = parts.pop(data.draw(st.integers(0, len(parts) - 1)))
        into = data.draw(st.integers(0, len(parts) - 1))
        parts[into] = cross_merge(parts[into], one)
    check(parts[0], values, scores)


def test_how_many_units_are_taken_at_once_changes_no_bit(monkeypatch: pytest.MonkeyPatch):
    random = np.random.default_rng(1)
    values, scores = random.normal(size=(64, 300)).astype(np.float32), random.random((64, 40)).astype(np.float32)
    whole = take(take(empty(values, scores), values, scores), -values, scores)
    monkeypatch.setattr("and_nnsight.kernels.correlation._ELEMENTS", 1)
    few = take(take(empty(values, scores), values, scores), -values, scores)
    assert all(torch.equal(one, other) for one, other in zip(whole, few, strict=True))


@pytest.mark.parametrize("binary", [True, False])
def test_a_great_offset_over_many_clips_costs_no_precision(binary: bool):
    random = np.random.default_rng(0)
    values = (1e4 + random.normal(size=(20_000, 3))).astype(np.float32)
    scores = scores_of(random, (20_000, 4), "labels" if binary else "offset")
    values += scores[:, :3] - scores[:, :3].mean(0)  # something to find
    state = empty(values, scores)
    for start in range(0, len(values), 1_000):
        state = take(state, values[start : start + 1_000], scores[start : start + 1_000])
    check(state, values, scores)
    assert cosine_cubed(state).max() > 0.05


def test_binary_scores_take_a_third_of_the_memory_and_give_the_same():
    random = np.random.default_rng(0)
    values, scores = values_of(random, (50, 4), "spread"), scores_of(random, (50, 3), "labels")
    small, large = take(empty_cross(4, 3, binary=True), values, scores), take(empty_cross(4, 3), values, scores)
    assert 3 * small.cross.numel() == large.cross.numel()
    for similarity in (pearson, cosine, cosine_cubed):
        torch.testing.assert_close(similarity(small), similarity(large), rtol=0, atol=1e-12)


def test_more_units_than_fit_at_once():
    random = np.random.default_rng(0)
    values, scores = values_of(random, (20, 9_000), "spread"), scores_of(random, (20, 2), "normal")
    state = take(empty(values, scores), values, scores)
    x, y = values.astype(float) - values.mean(0, dtype=float), scores.astype(float) - scores.mean(0, dtype=float)
    expected = x.T @ y / np.outer(np.sqrt((x**2).sum(0)), np.sqrt((y**2).sum(0)))
    np.testing.assert_allclose(pearson(state).numpy(), expected, rtol=0, atol=1e-12)


def test_what_does_not_vary_goes_with_nothing():
    values = np.array([[0.0, 3.0, 1.0], [0.0, 3.0, 2.0]], np.float32)
    scores = np.array([[1.0, 0.0], [1.0, 1.0]], np.float32)
    state = take(empty(values, scores), values, scores)
    assert pearson(state)[:2].tolist() == [[0, 0], [0, 0]]
    assert pearson(state)[2].tolist() == [0, pytest.approx(1.0)]
    assert cosine(state)[0].tolist() == [0, 0]
    assert cosine_cubed(state)[:, 0].tolist() == [0, 0, 0]


def test_of_no_clip_nothing_is_known():
    state = empty_cross(2, 3)
    for similarity in (pearson, cosine, cosine_cubed):
        assert similarity(state).isnan().all()
    state = cross_merge(state, empty_cross(2, 3))
    assert pearson(state).isnan().all()


def test_only_the_unit_that_was_not_finite_is_unknown():
    values = np.array([[1.0, 2.0], [np.nan, 3.0], [3.0, 5.0]], np.float32)
    scores = np.array([[0.5], [1.0], [2.0]], np.float32)
    state = take(empty(values, scores), values, scores)
    assert state.finite.tolist() == [2, 3]
    assert pearson(state)[:, 0].isnan().tolist() == [True, False]
    check(state, values, scores)


def test_a_unit_without_a_finite_value_yet_moves_no_other_units_reference():
    """Sums are of differences from a unit's first finite value, which a later batch must not replace."""
    random = np.random.default_rng(0)
    values, scores = values_of(random, (9, 2), "offset"), scores_of(random, (9, 2), "normal")
    values[:6, 0] = np.nan
    state = empty(values, scores)
    for start in range(0, 9, 3):
        state = take(state, values[start : start + 3], scores[start : start + 3])
    assert state.unit_reference.tolist() == [values[6, 0], values[0, 1]]
    check(state, values, scores)


def test_an_empty_state_lies_on_the_device_that_is_asked_for():
    for binary in (True, False):
        assert {part.device.type for part in empty_cross(2, 3, binary=binary, device="meta")} == {"meta"}


def test_norms_below_the_least_count_as_it():
    values, scores = np.array([[0.01], [0.0]], np.float32), np.array([[0.0], [1.0]], np.float32)
    state = take(empty(values, scores), values, scores)
    cubes = np.array([0.005, -0.005]) ** 3, np.array([-0.5, 0.5]) ** 3
    expected = (cubes[0] @ cubes[1]) / 1e-3 / np.linalg.norm(cubes[1])
    assert cosine_cubed(state).item() == pytest.approx(expected, rel=1e-6)
    assert cosine_cubed(state, min_norm=0.0).item() == pytest.approx(-1.0)
