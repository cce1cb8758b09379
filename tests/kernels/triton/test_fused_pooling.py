from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from and_nnsight.kernels import pool_max
from tests.kernels.triton.fused import DEVICE, DTYPES, few_examples, interpreted, needs_triton
from tests.oracle import VALUES, Oracle, Stream, stream_of, streams

pytestmark = [needs_triton, interpreted, pytest.mark.gpu]

Pooled = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def fused(activations: torch.Tensor, mask: torch.Tensor) -> Pooled:
    from and_nnsight.kernels import triton

    values, frames, nonfinite = triton.pool_max(activations.to(DEVICE), mask.to(DEVICE))
    return values.cpu(), frames.cpu(), nonfinite.cpu()


def check(pooled: Pooled, reference: Pooled) -> None:
    for own, expected in zip(pooled, reference, strict=True):
        assert own.dtype == expected.dtype
        np.testing.assert_array_equal(own, expected)


@pytest.mark.slow
@given(stream=streams(), dtype=st.sampled_from(DTYPES))
@few_examples
def test_the_fused_maximum_is_the_oracles(stream: Stream, dtype: torch.dtype):
    stream = replace(stream, activations=stream.activations.to(dtype))
    oracle = Oracle()
    oracle.feed("site", stream.activations, stream.clips, stream.mask)
    values, frames, nonfinite = fused(stream.activations, stream.mask)
    shape = (len(stream), stream.activations.shape[2])
    np.testing.assert_array_equal(values, np.array(oracle.values["site"], np.float32).reshape(shape))
    np.testing.assert_array_equal(frames, np.array(oracle.frames["site"], np.int32).reshape(shape))
    assert nonfinite == oracle.nonfinite["site"]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("values", VALUES)
@pytest.mark.parametrize(
    ("frames", "units"), [(1, 1), (15, 63), (16, 64), (17, 65), pytest.param(33, 130, marks=pytest.mark.slow)]
)
def test_the_fused_maximum_is_the_reference_at_the_edges_of_its_blocks(
    dtype: torch.dtype, values: str, frames: int, units: int
):
    for mask in ("all", "mixed"):
        stream = stream_of(frames, 3, frames, units, values, mask, dtype)
        check(fused(stream.activations, stream.mask), pool_max(stream.activations, stream.mask))


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_lowest_numbers_there_are_are_read(dtype: torch.dtype):
    """The first loop starts from float32's lowest, and takes nothing for larger than that."""
    activations = torch.full((2, 20, 3), torch.finfo(dtype).min, dtype=dtype)
    activations[0, :, 0] = torch.tensor([-math.inf] * 10 + [torch.finfo(dtype).min] * 10)
    mask = torch.ones(2, 20, dtype=torch.bool)
    mask[1, :7] = False
    values, frames, nonfinite = fused(activations, mask)
    assert values.unique().tolist() == [torch.finfo(dtype).min]
    assert frames.tolist() == [[10, 0, 0], [7, 7, 7]]
    assert nonfinite == 10


def test_activations_that_are_a_view_are_read_where_they_lie():
    whole = torch.randn(4, 40, 96)
    part = whole[1:, 3::2, 8:80]
    mask = torch.rand(3, part.shape[1]) < 0.7
    on_device = whole.to(DEVICE)[1:, 3::2, 8:80]
    assert not on_device.is_contiguous()
    check(fused(on_device, mask), pool_max(part, mask))


def test_an_empty_batch_has_no_values():
    values, frames, nonfinite = fused(torch.zeros(0, 3, 2), torch.zeros(0, 3, dtype=torch.bool))
    assert values.shape == frames.shape == (0, 2)
    assert nonfinite == 0
