from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from and_nnsight.kernels import TopKState, empty_topk, in_total_order, topk_update
from tests.kernels.triton.fused import DEVICE, few_examples, interpreted, needs_gpu, needs_triton
from tests.oracle import Oracle, Stream, batches_of, check_ranks, streams

pytestmark = [needs_triton, interpreted, pytest.mark.gpu]
SIDES = pytest.mark.parametrize("largest", [True, False])


def update(state: TopKState, values: torch.Tensor, clips: torch.Tensor, frames: torch.Tensor, largest: bool) -> None:
    from and_nnsight.kernels import triton

    batch = (tensor.to(DEVICE) for tensor in (values, clips, frames))
    triton.topk_update_in_place(state, *batch, largest=largest)


def ordered(state: TopKState, largest: bool) -> dict[str, torch.Tensor]:
    return {name: tensor.cpu() for name, tensor in in_total_order(state, largest=largest)._asdict().items()}


@pytest.mark.slow
@given(data=st.data(), stream=streams(), k=st.integers(1, 6), largest=st.booleans())
@few_examples
def test_any_cut_into_batches_ranks_as_the_oracle(data: st.DataObject, stream: Stream, k: int, largest: bool):
    values = stream.activations[:, 0]
    frames = torch.arange(values.numel(), dtype=torch.int32).reshape(values.shape)
    oracle = Oracle()
    oracle.feed_pooled("site", values, stream.clips, frames)
    state = empty_topk(k, values.shape[1], largest=largest, device=DEVICE)
    for batch in batches_of(data, len(stream)):
        update(state, values[batch], stream.clips[batch], frames[batch], largest)
    check_ranks(ordered(state, largest), oracle.ranked("site", values.shape[1], k, largest=largest))


@SIDES
@pytest.mark.parametrize(
    ("k", "count"),
    [(1, 30), (4, 30), (20, 16), *(pytest.param(k, 30, marks=[pytest.mark.slow, needs_gpu]) for k in (16, 36))],
)
def test_many_units_rank_as_the_reference(largest: bool, k: int, count: int):
    """Over several blocks of units, with ties that reach the last place, in whatever order the clips come."""
    generator = torch.Generator().manual_seed(k)
    units, clips = 80, torch.randperm(count, generator=generator) + (1 << 50)
    state = empty_topk(k, units, largest=largest, device=DEVICE)
    reference = empty_topk(k, units, largest=largest)
    for part in clips.split(7):
        values = (torch.randn(len(part), units, generator=generator) * 2).round()
        values[torch.rand(values.shape, generator=generator) < 0.1] = math.nan
        frames = torch.randint(0, 99, values.shape, dtype=torch.int32, generator=generator)
        update(state, values, part, frames, largest)
        reference = topk_update(reference, values, part, frames, largest=largest)
    assert bool(reference.ties.any()) is (k < count)
    check_ranks(ordered(state, largest), {name: tensor.numpy() for name, tensor in reference._asdict().items()})


@SIDES
@pytest.mark.parametrize("hostile", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_never_enters(largest: bool, hostile: float):
    state = empty_topk(3, 2, largest=largest, device=DEVICE)
    update(
        state, torch.tensor([[hostile, hostile], [hostile, 4.0]]), torch.tensor([0, 1]), torch.ones(2, 2).int(), largest
    )
    kept = ordered(state, largest)
    empty = -math.inf if largest else math.inf
    assert kept["values"].T.tolist() == [[empty] * 3, [4.0, empty, empty]]
    assert kept["clips"].T.tolist() == [[-1] * 3, [1, -1, -1]]
    assert kept["ties"].tolist() == [0, 0]
