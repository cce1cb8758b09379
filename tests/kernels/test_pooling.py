from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from and_nnsight.kernels import POOLINGS, pool, pool_frames, pool_max, pool_max_on_cpu
from tests.oracle import DTYPES, EXACT_VALUES, VALUES, Oracle, Stream, examples, streams


def whole(*clips: list[list[float]], dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
    """Activations and a mask that counts every frame."""
    activations = torch.tensor(clips, dtype=dtype)
    return activations, torch.ones(activations.shape[:2], dtype=torch.bool)


def check(pooled: tuple[torch.Tensor, torch.Tensor, torch.Tensor], stream: Stream, pooling: str) -> None:
    oracle = Oracle(pooling)
    oracle.feed("site", stream.activations, stream.clips, stream.mask)
    shape = (len(stream), stream.activations.shape[2])
    assert [tensor.dtype for tensor in pooled] == [torch.float32, torch.int32, torch.int64]
    values, frames, nonfinite = pooled
    np.testing.assert_array_equal(values, np.array(oracle.values["site"], np.float32).reshape(shape))
    np.testing.assert_array_equal(frames, np.array(oracle.frames["site"], np.int32).reshape(shape))
    assert nonfinite == oracle.nonfinite["site"]


@given(data=st.data(), pooling=st.sampled_from(POOLINGS))
@examples
def test_pooling_is_the_oracles(data: st.DataObject, pooling: str):
    stream = data.draw(streams(values=EXACT_VALUES if pooling == "mean" else VALUES))
    check(pool(stream.activations, stream.mask, pooling), stream, pooling)
    check(pool_frames(stream.activations, stream.mask, pooling), stream, pooling)


@given(stream=streams())
@examples
def test_the_cpus_maximum_is_the_reference(stream: Stream):
    if not len(stream.mask):
        return
    reference, fast = pool_max(stream.activations, stream.mask), pool_max_on_cpu(stream.activations, stream.mask)
    for left, right in zip(reference, fast, strict=True):
        assert left.dtype == right.dtype
        np.testing.assert_array_equal(left, right)


@given(data=st.data(), stream=streams())
@examples
def test_the_cpus_maximum_has_the_frames_that_are_asked_for(data: st.DataObject, stream: Stream):
    if not len(stream.mask):
        return
    whole = pool_max(stream.activations, stream.mask)
    bounds = torch.tensor(data.draw(st.lists(st.sampled_from([-40.0, -2.0, 0.0, 2.0, 40.0]), min_size=2, max_size=2)))
    floor, ceiling = bounds[:, None].expand(2, stream.activations.shape[2])
    part = pool_max_on_cpu(stream.activations, stream.mask, (floor, ceiling))
    np.testing.assert_array_equal(part.values, whole.values)
    assert part.nonfinite == whole.nonfinite
    wanted = (whole.values >= floor) | (whole.values <= ceiling)
    assert torch.equal(part.frames[wanted], whole.frames[wanted])
    left_out = (part.frames != whole.frames) & ~wanted
    assert bool((part.frames[left_out] == -1).all())


@pytest.mark.parametrize("largest", [-0.0, 0.0])
def test_the_sign_of_a_zero_is_not_kept(largest: float):
    """Which of -0 and +0 is the larger hangs on the order of comparisons: on batches, devices and blocks."""
    activations, mask = whole([[-0.0], [largest], [-1.0]])
    bounds = torch.tensor([5.0]), torch.tensor([-5.0])
    for pooled in (pool(activations, mask), pool_max(activations, mask), pool_max_on_cpu(activations, mask, bounds)):
        assert not pooled.values.signbit().any()


@pytest.mark.parametrize("frames", [1, 2, 31, 32, 33, 63, 64, 65, 100, 1214])
@pytest.mark.parametrize("steps", [None, 2])
def test_the_search_in_blocks_finds_the_first_frame_of_any_length(frames: int, steps: int | None):
    activations = torch.randn(3, frames, 17, generator=torch.Generator().manual_seed(frames))
    if steps is not None:
        activations = (activations * steps).round()  # many ties, within blocks and across them
    mask = torch.ones(3, frames, dtype=torch.bool)
    mask[:, : frames // 3] = False
    reference, fast = pool_max(activations, mask), pool_max_on_cpu(activations, mask)
    assert torch.equal(reference.values, fast.values)
    assert torch.equal(reference.frames, fast.frames)


def test_the_first_of_equal_frames_is_kept():
    activations, mask = whole([[1.0], [5.0], [5.0]], [[-0.0], [0.0], [-1.0]])
    assert pool(activations, mask).frames.tolist() == [[1], [0]]
    assert pool_max(activations, mask).frames.tolist() == [[1], [0]]


def test_a_frame_is_a_position_on_the_whole_token_axis():
    activations, _ = whole([[9.0], [1.0], [4.0], [9.0]])
    mask = torch.tensor([[False, True, True, False]])
    found = {how: pool(activations, mask, how) for how in POOLINGS}
    assert {how: pooled.frames.item() for how, pooled in found.items()} == {
        "max": 2,
        "mean": -1,
        "cls": 0,
        "first": 1,
        "last": 2,
    }
    assert {how: pooled.values.item() for how, pooled in found.items()} == {
        "max": 4.0,
        "mean": 2.5,
        "cls": 9.0,
        "first": 1.0,
        "last": 4.0,
    }


@pytest.mark.parametrize("how", ["max", "mean", "first", "last"])
def test_a_clip_without_a_frame_that_counts_has_no_value(how: str):
    activations, mask = whole([[1.0], [math.inf]])
    pooled = pool(activations, ~mask, how)
    assert pooled.values.isnan().all()
    assert pooled.frames.item() == -1
    assert pooled.nonfinite == 0


def test_the_special_token_is_read_even_where_the_mask_leaves_it_out():
    activations, mask = whole([[7.0], [9.0]])
    assert pool(activations, ~mask, "cls").values.item() == 7.0


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_sum_that_overflows_is_no_activation_that_does(dtype: torch.dtype):
    """The CPU's path sums to look for what is not finite: 40 times float16's largest value must not mislead it."""
    largest = min(torch.finfo(dtype).max, torch.finfo(torch.float32).max)
    activations, mask = whole(*[[[largest, 1.0], [-largest, 0.0]]] * 40, dtype=dtype)
    activations[:, 1, 1] = largest
    for pooled in (pool(activations, mask), pool_max(activations, mask)):
        assert pooled.values.unique().tolist() == [largest]
        assert pooled.frames.tolist() == [[0, 1]] * 40
        assert pooled.nonfinite == 0


@pytest.mark.parametrize("dtype", DTYPES)
def test_infinities_that_would_cancel_are_both_counted(dtype: torch.dtype):
    activations, mask = whole([[math.inf], [-math.inf], [3.0]], [[1.0], [2.0], [math.nan]], dtype=dtype)
    for pooled in (pool(activations, mask), pool_max(activations, mask)):
        assert pooled.values.tolist() == [[3.0], [2.0]]
        assert pooled.frames.tolist() == [[2], [1]]
        assert pooled.nonfinite == 3


@pytest.mark.parametrize("how", POOLINGS)
def test_float64_beyond_the_range_of_float32_counts_as_infinite(how: str):
    activations, mask = whole([[1e300], [1e300]], [[2.0], [2.0]], dtype=torch.float64)
    pooled = pool(activations, mask, how)
    assert pooled.values[0].isnan()
    assert pooled.values[1] == 2.0
    assert pooled.nonfinite == (2 if how in ("max", "mean") else 1)
    if how == "max":
        reference = pool_max(activations, mask)
        assert reference.values[0].isnan()
        assert reference.nonfinite == 2


def test_the_mean_of_the_largest_values_is_not_infinite():
    largest = torch.finfo(torch.float32).max
    activations, mask = whole([[largest], [largest]])
    assert pool(activations, mask, "mean").values.item() == largest


def test_the_mean_does_not_depend_on_how_much_padding_follows():
    """A mean in float32 does, in its last bit: the order of a sum is that of its length."""
    activations = torch.randn(40, 50, 9, generator=torch.Generator().manual_seed(0))
    mask = torch.ones(40, 50, dtype=torch.bool)
    padded = torch.cat([activations, torch.full((40, 131, 9), 60.0)], 1)
    longer = torch.cat([mask, torch.zeros(40, 131, dtype=torch.bool)], 1)
    assert torch.equal(pool(activations, mask, "mean").values, pool(padded, longer, "mean").values)


@pytest.mark.parametrize("how", POOLINGS)
def test_an_empty_batch_has_no_values(how: str):
    activations, mask = torch.zeros(0, 3, 2), torch.zeros(0, 3, dtype=torch.bool)
    pooled = pool(activations, mask, how)
    assert pooled.values.shape == pooled.frames.shape == (0, 2)
    assert pooled.nonfinite == 0


def test_pooling_leaves_the_activations_as_they_were():
    activations, mask = whole([[1.0], [math.nan]], [[2.0], [3.0]])
    before = activations.clone()
    for how in POOLINGS:
        pool(activations, mask, how)
    pool_max(activations, mask)
    assert torch.equal(activations.nan_to_num(99.0), before.nan_to_num(99.0))


def test_an_unknown_pooling_is_refused():
    for refuses in (pool, pool_frames):
        with pytest.raises(ValueError, match=r"unknown pooling 'median': one of max, mean, cls, first, last"):
            refuses(torch.zeros(1, 1, 1), torch.ones(1, 1, dtype=torch.bool), "median")
