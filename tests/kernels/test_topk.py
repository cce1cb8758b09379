from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from and_nnsight.kernels import TopKState, as_candidates, best_clips, border_ties, empty_topk, topk_merge, topk_update
from and_nnsight.statistics.topk import TopK
from tests.oracle import Oracle, Stream, batches_of, check_ranks, examples, merge_at_random, streams

SIDES = pytest.mark.parametrize("largest", [True, False])


def pooled(stream: Stream) -> tuple[torch.Tensor, torch.Tensor]:
    """Values [clip, unit] to rank, and a frame for each that tells where it came from."""
    values = stream.activations[:, 0]
    frames = torch.arange(values.numel(), dtype=torch.int32).reshape(values.shape)
    return values, frames


Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def reduced(batch: Batch, k: int, *, largest: bool, in_order: bool = False) -> TopKState:
    """The best of a batch (values, clips and frames) and its ties, as a server finds them: no classes."""
    candidates = as_candidates(*batch, largest)
    best = best_clips(*candidates, k, largest, in_order)
    return TopKState(*best, border_ties(candidates[0], candidates[1], best[0], best[1]))


def pooled_and_fed(stream: Stream) -> tuple[torch.Tensor, torch.Tensor, Oracle]:
    """A stream's pooled values and their frames, and an oracle that has seen them all."""
    values, frames = pooled(stream)
    oracle = Oracle()
    oracle.feed_pooled("site", values, stream.clips, frames)
    return values, frames, oracle


def same(state: TopKState, other: TopKState) -> bool:
    return all(torch.equal(ours, theirs) for ours, theirs in zip(state, other, strict=True))


@given(data=st.data(), stream=streams(), k=st.integers(1, 6), largest=st.booleans())
@examples
def test_any_cut_into_batches_ranks_as_the_oracle(data: st.DataObject, stream: Stream, k: int, largest: bool):
    values, frames, oracle = pooled_and_fed(stream)
    gated = TopK(k, values.shape[1], largest=largest)
    plain = empty_topk(k, values.shape[1], largest=largest)
    for batch in batches_of(data, len(stream)):
        new = values[batch], stream.clips[batch], frames[batch]
        gated.update(*new)
        plain = topk_update(plain, *new, largest=largest)
    oracle.check_topk("site", gated)
    check_ranks(plain._asdict(), oracle.ranked("site", values.shape[1], k, largest=largest))


@given(stream=streams(), k=st.integers(1, 6), largest=st.booleans())
@examples
def test_what_a_server_reduces_at_once_ranks_as_the_oracle(stream: Stream, k: int, largest: bool):
    values, frames, oracle = pooled_and_fed(stream)
    found = reduced((values, stream.clips, frames), k, largest=largest)
    check_ranks(found._asdict(), oracle.ranked("site", values.shape[1], min(k, len(stream)), largest=largest))


@given(data=st.data(), stream=streams(), k=st.integers(1, 6), largest=st.booleans())
@examples
def test_any_tree_of_merges_ranks_as_the_oracle(data: st.DataObject, stream: Stream, k: int, largest: bool):
    values, frames, oracle = pooled_and_fed(stream)
    shards = []
    for part in batches_of(data, len(stream)):
        shards.append(TopK(k, values.shape[1], largest=largest))
        shards[-1].update(values[part], stream.clips[part], frames[part])
    oracle.check_topk("site", merge_at_random(data, shards))


@given(data=st.data(), stream=streams(), k=st.integers(1, 6), largest=st.booleans())
@examples
def test_the_best_of_each_batch_merge_in_any_order(data: st.DataObject, stream: Stream, k: int, largest: bool):
    """As they come home from a server: fewer than k of a batch of fewer than k clips."""
    values, frames, oracle = pooled_and_fed(stream)
    batches = data.draw(st.permutations(list(batches_of(data, len(stream)))))
    state = empty_topk(k, values.shape[1], largest=largest)
    for batch in batches:
        part = reduced((values[batch], stream.clips[batch], frames[batch]), k, largest=largest)
        state = topk_merge(state, part, largest=largest)
    check_ranks(state._asdict(), oracle.ranked("site", values.shape[1], k, largest=largest))


@SIDES
def test_equal_values_rank_by_clip_id_however_they_come(largest: bool):
    kept = TopK(2, 1, largest=largest)
    for clip in (7, 3, 9, 5):
        kept.update(torch.ones(1, 1), torch.tensor([clip]), torch.tensor([[clip]], dtype=torch.int32))
    assert kept.state.clips[:, 0].tolist() == kept.state.frames[:, 0].tolist() == [3, 5]


@SIDES
def test_negative_zero_equals_zero(largest: bool):
    values = torch.tensor([[0.0], [-0.0], [0.0], [-0.0]])
    empty = empty_topk(4, 1, largest=largest)
    frames = torch.zeros(4, 1, dtype=torch.int32)
    state = topk_update(empty, values, torch.tensor([4, 3, 2, 1]), frames, largest=largest)
    assert state.clips[:, 0].tolist() == [1, 2, 3, 4]


@SIDES
def test_clip_ids_that_float64_cannot_tell_apart_are_told_apart(largest: bool):
    clips = (1 << 62) - torch.arange(5)
    empty = empty_topk(3, 1, largest=largest)
    state = topk_update(empty, torch.ones(5, 1), clips, torch.zeros(5, 1).int(), largest=largest)
    assert state.clips[:, 0].tolist() == [(1 << 62) - 4, (1 << 62) - 3, (1 << 62) - 2]


@SIDES
@pytest.mark.parametrize("hostile", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_never_enters(largest: bool, hostile: float):
    kept = TopK(3, 2, largest=largest)
    values = torch.tensor([[hostile, hostile], [hostile, 4.0]])
    kept.update(values, torch.tensor([0, 1]), torch.ones(2, 2, dtype=torch.int32))
    empty = -math.inf if largest else math.inf
    assert kept.state.values.T.tolist() == [[empty] * 3, [4.0, empty, empty]]
    assert kept.state.clips.T.tolist() == [[-1] * 3, [1, -1, -1]]
    assert kept.state.frames.T.tolist() == [[-1] * 3, [1, -1, -1]]


def test_float64_beyond_the_range_of_float32_does_not_enter_as_infinity():
    values = torch.tensor([[1e300], [1.0]], dtype=torch.float64)
    state = topk_update(empty_topk(2, 1), values, torch.tensor([0, 1]), torch.zeros(2, 1, dtype=torch.int32))
    assert state.values[:, 0].tolist() == [1.0, -math.inf]
    assert state.clips[:, 0].tolist() == [1, -1]


def test_the_k_of_a_merge_is_that_of_the_first():
    clips = torch.arange(5)
    state = topk_update(empty_topk(5, 1), clips[:, None].float(), clips, torch.zeros(5, 1, dtype=torch.int32))
    assert topk_merge(empty_topk(2, 1), state).clips[:, 0].tolist() == [4, 3]


def test_an_update_makes_a_new_state():
    before = empty_topk(2, 1)
    topk_update(before, torch.ones(1, 1), torch.tensor([0]), torch.zeros(1, 1, dtype=torch.int32))
    assert same(before, empty_topk(2, 1))


def test_an_empty_batch_and_an_empty_shard_change_nothing():
    kept = TopK(2, 3)
    kept.update(torch.randn(4, 3), torch.arange(4), torch.zeros(4, 3, dtype=torch.int32))
    before = TopKState(*(tensor.clone() for tensor in kept.state))
    kept.update(torch.zeros(0, 3), torch.arange(0), torch.zeros(0, 3, dtype=torch.int32))
    kept.merge(TopK(2, 3))
    assert same(before, kept.state)


def test_merging_leaves_the_other_as_it_was():
    one, other = TopK(2, 1), TopK(2, 1)
    other.update(torch.ones(1, 1), torch.tensor([5]), torch.zeros(1, 1, dtype=torch.int32))
    one.merge(other)
    one.update(torch.full((1, 1), 9.0), torch.tensor([6]), torch.zeros(1, 1, dtype=torch.int32))
    assert other.state.clips[:, 0].tolist() == [5, -1]


def test_reset_forgets():
    kept = TopK(2, 1, largest=False)
    kept.update(torch.ones(1, 1), torch.tensor([5]), torch.zeros(1, 1, dtype=torch.int32))
    kept.reset()
    assert same(kept.state, empty_topk(2, 1, largest=False))


def test_a_k_of_none_is_refused():
    with pytest.raises(ValueError, match="k must be at least 1, not 0"):
        TopK(0, 3)


@pytest.mark.parametrize("other", [TopK(3, 4), TopK(2, 5), TopK(2, 4, largest=False)])
def test_unlike_accumulators_do_not_merge(other: TopK):
    with pytest.raises(ValueError, match="cannot merge top-K accumulators of different K, units or direction"):
        TopK(2, 4).merge(other)


def test_a_state_of_another_shape_is_not_loaded():
    kept = TopK(2, 4)
    with pytest.raises(ValueError, match=r"the state's values have shape \(3, 5\), not \(2, 4\)"):
        kept.load_state_dict(TopK(3, 5).state_dict())
    assert kept.state.values.shape == (2, 4)


@pytest.mark.parametrize("name", ["clips", "frames", "ties"])
def test_a_state_whose_parts_do_not_fit_is_not_loaded(name: str):
    state = TopK(2, 4).state_dict()
    with pytest.raises(ValueError, match=rf"the state's {name} have shape \((2, )?3,?\), not \((2, )?4,?\)"):
        TopK(2, 4).load_state_dict({**state, name: state[name][..., :3]})


@pytest.mark.slow
@given(seed=st.integers(0, 10_000), k=st.integers(1, 5), largest=st.booleans())
@examples
def test_a_stream_in_order_needs_only_one_sort(seed: int, k: int, largest: bool):
    generator = torch.Generator().manual_seed(seed)
    states = [empty_topk(k, 6, largest=largest), empty_topk(k, 6, largest=largest)]
    for start in range(0, 30, 5):
        values = torch.randint(-3, 4, (4, 6), generator=generator).float()
        values[values == 3] = torch.nan
        clips, frames = torch.arange(start, start + 4), torch.full((4, 6), start, dtype=torch.int32)
        states = [
            topk_update(state, values, clips, frames, largest=largest, in_order=in_order)
            for state, in_order in zip(states, (False, True), strict=True)
        ]
        assert same(*(reduced((values, clips, frames), k, largest=largest, in_order=how) for how in (False, True)))
    assert same(*states)


@SIDES
def test_clips_that_tie_with_the_last_place_and_are_left_out_are_counted(largest: bool):
    """−0 equals 0; what is not finite, and what the last place has left behind, is no tie."""
    values = torch.tensor([[0.0], [-0.0], [torch.nan], [0.0], [-0.0]])
    kept = TopK(2, 1, largest=largest)
    for clip, value in enumerate(values):
        kept.update(value[None], torch.tensor([clip]), torch.zeros(1, 1, dtype=torch.int32))
    assert kept.state.ties.tolist() == [2]
    better = torch.tensor([[3.0 if largest else -3.0]])
    kept.update(better, torch.tensor([9]), torch.zeros(1, 1, dtype=torch.int32))
    assert kept.state.ties.tolist() == [3]
    kept.update(better, torch.tensor([8]), torch.zeros(1, 1, dtype=torch.int32))
    assert kept.state.clips[:, 0].tolist() == [8, 9]
    assert kept.state.ties.tolist() == [0]


def test_an_empty_state_lies_on_the_device_that_is_asked_for():
    assert {tensor.device.type for tensor in empty_topk(2, 3, device="meta")} == {"meta"}
    assert {tensor.device.type for tensor in empty_topk(2, 3)} == {"cpu"}


def test_empty_places_tie_with_nothing():
    kept = TopK(3, 1)
    for _ in range(2):
        other = TopK(3, 1)
        other.update(torch.tensor([[torch.nan], [torch.inf]]), torch.tensor([0, 1]), torch.zeros(2, 1).int())
        kept.merge(other)
    assert kept.state.ties.tolist() == [0]


@given(st.integers(0, 1 << 32), st.integers(0, 30), st.integers(0, 30), st.integers(1, 6), st.booleans())
@examples
def test_a_merge_of_later_clips_is_that_of_any(seed: int, clips: int, later: int, k: int, largest: bool):
    random = torch.Generator().manual_seed(seed)
    parts = []
    for first, count in ((0, clips), (clips, later)):
        values = torch.randint(-2, 3, (count, 5), generator=random).float()
        frames = torch.zeros(count, 5, dtype=torch.int32)
        ids = torch.arange(first, first + count)
        parts.append(topk_update(empty_topk(k, 5, largest=largest), values, ids, frames, largest=largest))
    known, any_order = (topk_merge(*parts, largest=largest, in_order=promised) for promised in (True, False))
    assert all(torch.equal(one, other) for one, other in zip(known, any_order, strict=True))
