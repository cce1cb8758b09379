from __future__ import annotations

import math
from functools import reduce

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from and_nnsight.kernels import MomentsState, batch_moments, empty_moments, moments_merge, moments_update, variance
from and_nnsight.statistics.units import Moments
from tests.oracle import Oracle, Stream, batches_of, examples, merge_at_random, streams


def same(state: MomentsState, other: MomentsState) -> bool:
    return all(torch.equal(ours, theirs) for ours, theirs in zip(state, other, strict=True))


def fed(stream: Stream) -> Oracle:
    oracle = Oracle()
    values = stream.activations[:, 0]
    oracle.feed_pooled("site", values, stream.clips, torch.zeros(values.shape))
    return oracle


@given(data=st.data(), stream=streams())
@examples
def test_any_cut_into_batches_has_the_oracles_moments(data: st.DataObject, stream: Stream):
    kept = Moments(stream.activations.shape[2])
    for batch in batches_of(data, len(stream)):
        kept.update(stream.activations[batch, 0])
    fed(stream).check_moments("site", kept)


@given(data=st.data(), stream=streams())
@examples
def test_any_tree_of_merges_has_the_oracles_moments(data: st.DataObject, stream: Stream):
    shards = []
    for part in batches_of(data, len(stream)):
        shards.append(Moments(stream.activations.shape[2]))
        shards[-1].update(stream.activations[part, 0])
    fed(stream).check_moments("site", merge_at_random(data, shards))


@given(data=st.data(), stream=streams())
@examples
def test_the_moments_of_each_batch_merge_in_any_order(data: st.DataObject, stream: Stream):
    """As they come home from a server: plain tuples."""
    kept = Moments(stream.activations.shape[2])
    batches = data.draw(st.permutations(list(batches_of(data, len(stream)))))
    found = (MomentsState(*batch_moments(stream.activations[batch, 0])) for batch in batches)
    kept.state = reduce(moments_merge, found)
    fed(stream).check_moments("site", kept)


@pytest.mark.parametrize("offset", [1e4, -1e7])
def test_a_small_variance_far_from_zero_is_kept(offset: float):
    """Where the sum of squares less the square of the sum would have lost every digit."""
    values = offset + torch.tensor([[0.0], [1.0], [2.0], [3.0]])
    state = empty_moments(1)
    for _ in range(100):
        state = moments_update(state, values)
    assert state.mean.item() == pytest.approx(offset + 1.5, rel=1e-15)
    assert variance(state).item() == pytest.approx(1.25, rel=1e-8)


def test_what_is_not_finite_is_left_out():
    values = torch.tensor([[math.nan, 1.0], [math.inf, 3.0], [-math.inf, math.nan]])
    state = moments_update(empty_moments(2), values)
    assert state.count.tolist() == [0, 2]
    assert state.mean.tolist() == [0.0, 2.0]
    assert variance(state).tolist() == [0.0, 1.0]
    assert state.active.tolist() == [0, 2]


def test_only_what_is_above_zero_is_active():
    state = moments_update(empty_moments(1), torch.tensor([[0.0], [-0.0], [-1.0], [1e-30]]))
    assert state.active.tolist() == [1]


def test_the_moments_of_no_clip_are_zero():
    state = moments_update(empty_moments(3), torch.zeros(0, 3))
    assert same(state, empty_moments(3))
    assert variance(state).tolist() == [0.0, 0.0, 0.0]


def test_merging_with_nothing_changes_nothing():
    state = moments_update(empty_moments(3), torch.randn(7, 3, generator=torch.Generator().manual_seed(0)))
    assert same(moments_merge(state, empty_moments(3)), state)
    assert same(moments_merge(empty_moments(3), state), state)


def test_sums_are_float64_and_counts_int64_whatever_comes():
    state = moments_update(empty_moments(1), torch.ones(2, 1, dtype=torch.bfloat16))
    dtypes = [torch.int64, torch.float64, torch.float64, torch.int64]
    assert [tensor.dtype for tensor in state] == [tensor.dtype for tensor in empty_moments(1)] == dtypes


def test_an_empty_state_lies_on_the_device_that_is_asked_for():
    assert {tensor.device.type for tensor in empty_moments(2, device="meta")} == {"meta"}
    assert {tensor.device.type for tensor in empty_moments(2)} == {"cpu"}


def test_reset_forgets():
    kept = Moments(1)
    kept.update(torch.ones(3, 1))
    kept.reset()
    assert same(kept.state, empty_moments(1))


def test_unlike_accumulators_do_not_merge():
    with pytest.raises(ValueError, match="cannot merge the moments of 3 units into those of 2"):
        Moments(2).merge(Moments(3))


def test_a_state_of_another_shape_is_not_loaded():
    kept = Moments(2)
    with pytest.raises(ValueError, match="state is for 3 units, not 2"):
        kept.load_state_dict(Moments(3).state_dict())
    assert same(kept.state, empty_moments(2))


@pytest.mark.parametrize("name", ["mean", "squares", "active"])
def test_a_state_whose_parts_do_not_fit_is_not_loaded(name: str):
    state = Moments(2).state_dict()
    with pytest.raises(ValueError, match="state is for 1 units, not 2"):
        Moments(2).load_state_dict({**state, name: state[name][:1]})
