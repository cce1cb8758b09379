"""A batch's activations reach the statistics under the right clips, whatever order the clips come in."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from and_nnsight.run.collector import BatchCollector
from and_nnsight.sites.geometry import Regular
from and_nnsight.sites.site import Site
from and_nnsight.statistics.units import UnitStatistics
from tests.oracle import Oracle, examples

SITE = Site("blocks.0.mlp.hook_post", "encoder.0", "output", 3, 0, Regular(hop=0.1, span=0.1))
CPU = torch.device("cpu")


def feed(
    collector: BatchCollector, clips: list[int], activations: torch.Tensor, seconds: list[float] | None = None
) -> None:
    collector.begin(clips, seconds or [10.0] * len(clips), CPU)
    collector.collect(SITE, activations)
    collector.end()


def kept_clips(statistics: UnitStatistics) -> list[int]:
    return statistics.top.state.clips[:, 0].tolist()


def test_of_equal_clips_the_lowest_ids_are_kept_though_they_come_late() -> None:
    statistics = UnitStatistics({SITE.name: 3}, k=2)
    collector = BatchCollector(statistics)
    for clip in (3, 0, 1):
        feed(collector, [clip], torch.ones(1, 1, 3))
    assert kept_clips(statistics) == [0, 1]


@pytest.mark.parametrize("batches", [[[5, 6], [0, 1]], [[6, 5], [1, 0]], [[5, 0], [6, 1]], [[0, 6], [5, 1]]])
def test_a_collector_of_a_run_that_goes_on_knows_which_ids_came_before(batches: list[list[int]]) -> None:
    statistics = UnitStatistics({SITE.name: 3}, k=2)
    for clips in batches:  # a collector of its own for each, as after a checkpoint
        feed(BatchCollector(statistics), clips, torch.ones(2, 1, 3))
    assert kept_clips(statistics) == [0, 1]


@pytest.mark.slow
@given(
    st.permutations(range(12)),
    st.lists(st.integers(1, 5), min_size=12, max_size=12),
    st.integers(1, 5),
    st.integers(0, 10_000),
)
@examples
def test_in_any_order_and_any_batches_the_oracle_finds_the_same(
    order: list[int], sizes: list[int], k: int, seed: int
) -> None:
    activations = torch.randint(-1, 2, (12, 4, 3), generator=torch.Generator().manual_seed(seed)).float()
    statistics, oracle = UnitStatistics({SITE.name: 3}, k=k), Oracle()
    collector, left = BatchCollector(statistics), list(order)
    for size in sizes:
        clips, left = left[:size], left[size:]
        if clips:
            feed(collector, clips, activations[clips])
            oracle.feed(SITE.name, activations[clips], torch.tensor(clips), torch.ones(len(clips), 4, dtype=torch.bool))
    oracle.check(statistics)


def test_frames_beyond_the_end_of_a_clip_are_not_read_whichever_lengths_came_before() -> None:
    """Masks are kept by the lengths of a batch's clips: another batch, or another number of frames, has its own."""
    statistics = UnitStatistics({SITE.name: 3}, k=6)
    collector = BatchCollector(statistics)
    activations = torch.arange(5.0).reshape(1, 5, 1).expand(2, 5, 3)
    for first, seconds in ((0, [0.2, 0.5]), (2, [0.5, 0.2]), (4, [0.1, 0.3])):
        feed(collector, [first, first + 1], activations, seconds)
    values = dict(zip(kept_clips(statistics), statistics.top.state.values[:, 0].tolist(), strict=True))
    assert values == {0: 1.0, 1: 4.0, 2: 4.0, 3: 1.0, 4: 0.0, 5: 2.0}


def test_a_site_with_one_value_a_clip_has_one_frame() -> None:
    statistics = UnitStatistics({SITE.name: 3}, k=1)
    feed(BatchCollector(statistics), [7, 8], torch.tensor([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]]))
    assert statistics.top.state.clips.tolist() == [[8, 7, 7]]
    assert statistics.top.state.frames.tolist() == [[0, 0, 0]]
