from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from and_nnsight.kernels import MomentsState, dyadic_nodes, variance
from and_nnsight.statistics.moments import Moments
from tests.oracle import Oracle, Stream, batches_of, examples, merge_at_random, streams

NO_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def same(state: MomentsState, other: MomentsState) -> bool:
    return all(bits(ours) == bits(theirs) for ours, theirs in zip(state, other, strict=True))


def bits(tensor: torch.Tensor) -> tuple[torch.dtype, torch.Size, bytes]:
    """What tells 0 from −0 too."""
    return tensor.dtype, tensor.shape, tensor.cpu().numpy().tobytes()


def kept_of(values: torch.Tensor, positions: Sequence[int] | None = None) -> Moments:
    kept = Moments(values.shape[1])
    kept.update(values, range(len(values)) if positions is None else positions)
    return kept


def fed(stream: Stream) -> Oracle:
    oracle = Oracle()
    values = stream.activations[:, 0]
    oracle.feed_pooled("site", values, stream.clips, torch.zeros(values.shape))
    return oracle


def whole(stream: Stream) -> MomentsState:
    """All at once, in the order of the stream."""
    order = stream.clips.argsort()
    return kept_of(stream.activations[order, 0], stream.clips[order].tolist()).state


@dataclass(frozen=True)
class TreeNode:
    number: int
    total: float
    squares: float


def by_recursion(leaves: dict[int, float], level: int, index: int) -> TreeNode | None:
    """The tree as its definition has it, from the root down, in Python's own arithmetic."""
    if not any(position >> level == index for position in leaves):
        return None
    if level == 0:
        value = leaves[index]
        return TreeNode(1, value + 0.0, 0.0) if math.isfinite(value) else TreeNode(0, 0.0, 0.0)
    left, right = (by_recursion(leaves, level - 1, 2 * index + half) for half in (0, 1))
    if left is None or right is None:
        return left or right
    apart = left.total * right.number - right.total * left.number
    weight = max(float(left.number * right.number) * (left.number + right.number), 1.0)
    squares = apart * apart / weight + (left.squares + right.squares)
    return TreeNode(left.number + right.number, left.total + right.total, squares)


@given(data=st.data(), stream=streams())
@examples
def test_any_cut_into_batches_has_the_oracles_moments_and_the_same_bits(data: st.DataObject, stream: Stream):
    kept = Moments(stream.activations.shape[2])
    for batch in batches_of(data, len(stream)):
        kept.update(stream.activations[batch, 0], stream.clips[batch].tolist())
    fed(stream).check_moments("site", kept)
    assert same(kept.state, whole(stream))


@given(data=st.data(), stream=streams())
@examples
def test_any_tree_of_merges_has_the_oracles_moments_and_the_same_bits(data: st.DataObject, stream: Stream):
    shards = []
    for part in batches_of(data, len(stream)):
        shards.append(Moments(stream.activations.shape[2]))
        shards[-1].update(stream.activations[part, 0], stream.clips[part].tolist())
    kept = merge_at_random(data, shards)
    fed(stream).check_moments("site", kept)
    assert same(kept.state, whole(stream))


@given(st.lists(st.floats(width=32, min_value=-1e6, max_value=1e6) | st.just(math.nan), max_size=40))
@examples
def test_the_tree_is_that_of_its_definition(values: list[float]):
    leaves = dict(enumerate(values, start=len(values) % 7))
    kept = kept_of(torch.tensor(values, dtype=torch.float32)[:, None], list(leaves))
    expected = by_recursion(leaves, 7, 0) or TreeNode(0, 0.0, 0.0)
    state = kept.state
    assert state.count.item() == expected.number
    assert state.mean.item() == expected.total / max(expected.number, 1)
    assert state.squares.item() == expected.squares


@given(data=st.data(), stream=streams())
@examples
def test_gaps_that_are_left_out_change_nothing_but_the_number_of_nodes(data: st.DataObject, stream: Stream):
    values = stream.activations[:, 0]
    there = sorted(data.draw(st.permutations(range(2 * len(stream))))[: len(stream)])
    kept, told = kept_of(values, there), kept_of(values, there)
    gaps = sorted(set(range(2 * len(stream))) - set(there))
    told.leave_out(gaps)
    told.leave_out(gaps)
    assert same(kept.state, told.state)
    assert len(told.nodes) == (2 * len(stream)).bit_count()


@pytest.mark.slow
def test_a_contiguous_stretch_keeps_few_nodes_though_clips_are_missing():
    chance, kept, most = np.random.default_rng(0), Moments(2), 0
    for start in range(1_003, 1_003 + 20_000, 7):
        here = [clip for clip in range(start, start + 7) if chance.random() > 0.05]
        kept.update(torch.randn(len(here), 2), here)
        kept.leave_out(clip for clip in range(start, start + 7) if clip not in here)
        most = max(most, len(kept.nodes))
    assert most <= 2 * 15


def test_sums_are_as_near_the_exact_ones_as_pairwise_sums_are():
    values = torch.from_numpy(np.random.default_rng(0).normal(3.0, 1.0, (5_000, 1)).astype(np.float32))
    exact = [Fraction(float(value)) for value in values[:, 0]]
    mean = sum(exact) / len(exact)
    squares = float(sum((value - mean) ** 2 for value in exact))
    state = kept_of(values).state
    assert state.mean.item() == pytest.approx(float(mean), rel=1e-15)
    assert state.squares.item() == pytest.approx(squares, rel=2e-15)


@pytest.mark.parametrize("offset", [1e4, -1e7])
def test_a_small_variance_far_from_zero_is_kept(offset: float):
    """Where the sum of squares less the square of the sum would have lost every digit."""
    values = offset + torch.tensor([[0.0], [1.0], [2.0], [3.0]])
    kept = Moments(1)
    for batch in range(100):
        kept.update(values, range(4 * batch, 4 * batch + 4))
    assert kept.state.mean.item() == pytest.approx(offset + 1.5, rel=1e-15)
    assert variance(kept.state).item() == pytest.approx(1.25, rel=1e-8)


def test_what_is_not_finite_is_left_out():
    values = torch.tensor([[math.nan, 1.0], [math.inf, 3.0], [-math.inf, math.nan]])
    state = kept_of(values).state
    assert state.count.tolist() == [0, 2]
    assert state.mean.tolist() == [0.0, 2.0]
    assert variance(state).tolist() == [0.0, 1.0]
    assert state.active.tolist() == [0, 2]


def test_only_what_is_above_zero_is_active():
    assert kept_of(torch.tensor([[0.0], [-0.0], [-1.0], [1e-30]])).state.active.tolist() == [1]


def test_the_sign_of_zero_is_forgotten():
    for zeros in ([-0.0], [-0.0, -0.0], [0.0, -0.0]):
        assert math.copysign(1.0, kept_of(torch.tensor([[zero] for zero in zeros])).state.mean.item()) == 1.0


def test_the_moments_of_no_clip_are_zero():
    kept = kept_of(torch.zeros(0, 3))
    assert same(kept.state, Moments(3).state)
    assert variance(kept.state).tolist() == [0.0, 0.0, 0.0]


def test_merging_with_nothing_changes_nothing():
    values = torch.randn(7, 3, generator=torch.Generator().manual_seed(0))
    for one, other in ((kept_of(values), Moments(3)), (Moments(3), kept_of(values))):
        one.merge(other)
        assert same(one.state, kept_of(values).state)


def test_sums_are_float64_and_counts_int64_whatever_comes():
    state = kept_of(torch.ones(2, 1, dtype=torch.bfloat16)).state
    assert [tensor.dtype for tensor in state] == [torch.int64, torch.float64, torch.float64, torch.int64]


@pytest.mark.gpu
@NO_GPU
def test_a_gpu_has_the_same_bits_and_is_not_waited_for():
    values = torch.randn(200, 1_000, generator=torch.Generator().manual_seed(0))
    values[3, 5], values[70] = math.nan, -0.0
    kept = Moments(1_000, device="cuda")
    there = values.cuda()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for start in (0, 64, 101, 107):
            positions = list(range(start, {0: 64, 64: 101, 101: 107, 107: 200}[start]))
            kept.update(there[positions[0] : positions[-1] + 1].flip(0), positions[::-1])
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert same(kept.state, kept_of(values).state)


def test_a_clip_that_comes_twice_is_refused():
    kept = kept_of(torch.ones(3, 1))
    with pytest.raises(ValueError, match="positions 2 to 2 came twice"):
        kept.update(torch.ones(1, 1), [2])
    with pytest.raises(ValueError, match="share clips, at positions 0 to 1"):
        kept.merge(kept_of(torch.ones(1, 1), [1]))


def test_reset_forgets():
    kept = kept_of(torch.ones(3, 1))
    kept.reset()
    assert same(kept.state, Moments(1).state)


def test_unlike_accumulators_do_not_merge():
    with pytest.raises(ValueError, match="cannot merge the moments of 3 units into those of 2"):
        Moments(2).merge(Moments(3))


@given(data=st.data(), stream=streams())
@examples
def test_a_state_that_was_saved_goes_on_as_if_it_never_was(data: st.DataObject, stream: Stream):
    kept = Moments(stream.activations.shape[2])
    for batch in batches_of(data, len(stream)):
        kept.update(stream.activations[batch, 0], stream.clips[batch].tolist())
        saved, kept = kept.state_dict(), Moments(kept.units)
        kept.load_state_dict(saved)
        again = kept.state_dict()
        assert all(bits(saved[name]) == bits(again[name]) for name in saved)
    assert same(kept.state, whole(stream))


def test_a_state_of_another_shape_is_not_loaded():
    kept = Moments(2)
    with pytest.raises(ValueError, match="state is for 3 units, not 2"):
        kept.load_state_dict(Moments(3).state_dict())
    assert same(kept.state, Moments(2).state)


@pytest.mark.parametrize("name", ["number", "total", "squares"])
def test_a_state_whose_parts_do_not_fit_is_not_loaded(name: str):
    state = kept_of(torch.ones(3, 2)).state_dict()
    with pytest.raises(ValueError, match=rf"the state's {name} have shape \(1, 2\), not \(2, 2\)"):
        Moments(2).load_state_dict({**state, name: state[name][:1]})


def test_the_nodes_of_a_batch_are_the_fewest():
    keys, number, total, _, active = dyadic_nodes(torch.arange(9.0)[:, None], list(range(3, 12)))
    assert keys == [(0, 3), (2, 1), (2, 2)]
    assert number[:, 0].tolist() == [1.0, 4.0, 4.0]
    assert total[:, 0].tolist() == [0.0, 10.0, 26.0]
    assert active.tolist() == [8]
