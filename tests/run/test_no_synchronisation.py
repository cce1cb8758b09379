"""A batch is given to the GPU without ever waiting for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from and_nnsight.run.collector import BatchCollector
from and_nnsight.statistics.units import UnitStatistics
from benchmarks._subjects import GEOMETRIES, make_subject
from benchmarks.overhead import trace_step

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype:UserWarning"),
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


@pytest.fixture
def waiting_is_an_error() -> Iterator[None]:
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_batch_of_a_trace_never_waits_for_the_device(dtype: torch.dtype, request: pytest.FixtureRequest):
    subject = make_subject(GEOMETRIES["tiny"](), torch.device("cuda"), dtype)
    step = trace_step(subject, UnitStatistics(subject.widths, k=4, device=subject.device))
    step(subject.features(3), [0, 1, 2])  # what is made once: masks, compiled kernels
    inputs = [subject.features(3) for _ in range(3)]
    request.getfixturevalue("waiting_is_an_error")
    for number, features in enumerate(inputs, 1):
        step(features, [3 * number, 3 * number + 1, 3 * number + 2])


def test_the_guard_does_find_one_that_waits(waiting_is_an_error: None):
    ids = torch.arange(3, device="cuda")
    with pytest.raises(RuntimeError, match="synchroniz"):
        ids.cpu()


def test_masks_and_ids_go_to_the_device_without_waiting(waiting_is_an_error: None):
    statistics = UnitStatistics({"a": 2}, k=1, device="cuda")
    torch.cuda.set_sync_debug_mode("default")
    collector = BatchCollector(statistics)  # it reads the highest clip once
    torch.cuda.set_sync_debug_mode("error")
    collector.begin([4, 9], [1.0, 2.0], torch.device("cuda"))
    assert collector.clip_ids.is_cuda
