"""Eight defects found in other tools' top-K code, each with a test that ours does not have it."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from safetensors.torch import load, save

from and_nnsight.kernels import topk_merge
from and_nnsight.statistics.topk import TopK
from and_nnsight.statistics.units import UnitStatistics


def feed(kept: UnitStatistics, activations: torch.Tensor, first_clip: int = 0, mask: torch.Tensor | None = None):
    """One batch of a statistics' only site, `site`; every frame counts unless a mask says otherwise."""
    clips, frames, _ = activations.shape
    every = torch.ones(clips, frames, dtype=torch.bool)
    kept.update("site", activations, torch.arange(first_clip, first_clip + clips), every if mask is None else mask)
    kept.finish_batch()


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def numel(kept: UnitStatistics) -> int:
    return sum(tensor.numel() for tensor in kept.state_dict().values())


def test_1_a_unit_whose_activations_are_all_negative_keeps_its_best_clips():
    """Buffers that start at 0 (or −0) keep the empty id −1 for ever."""
    kept = UnitStatistics({"site": 2}, k=3)
    feed(kept, -1.0 - noise(8, 4, 2).abs())
    found = kept.site_tensors("site")
    assert (found["top_clips"] >= 0).all()
    assert (found["top_frames"] >= 0).all()
    assert (found["top_values"] <= -1.0).all()
    assert found["top_values"].isfinite().all()


def test_1_a_unit_whose_activations_are_all_positive_keeps_its_lowest_clips():
    kept = UnitStatistics({"site": 2}, k=3)
    feed(kept, 1.0 + noise(8, 4, 2).abs())
    found = kept.site_tensors("site")
    assert (found["bottom_clips"] >= 0).all()
    assert (found["bottom_values"] >= 1.0).all()
    assert found["bottom_values"].isfinite().all()


def test_2_values_that_only_float32_tells_apart_are_told_apart():
    """Kept in bfloat16, all of the first twenty of 10,000 values in [10, 10.5] are one and the same value."""
    values = torch.linspace(10.0, 10.5, 10_000)[torch.randperm(10_000, generator=torch.Generator().manual_seed(0))]
    kept = UnitStatistics({"site": 1}, k=20)
    for start in range(0, 10_000, 64):
        feed(kept, values[start : start + 64, None, None], start)
    best = sorted(range(10_000), key=lambda clip: -values[clip].item())[:20]
    assert kept.site_tensors("site")["top_clips"][:, 0].tolist() == best
    assert len(set(values[best].bfloat16().tolist())) == 1


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_2_the_state_is_in_float32_whatever_the_model_runs_in(dtype: torch.dtype):
    kept = UnitStatistics({"site": 3}, k=2)
    feed(kept, noise(5, 4, 3).to(dtype))
    state = kept.state_dict()
    assert state["top.values"].dtype == state["bottom.values"].dtype == torch.float32
    assert state["moments.total"].dtype == state["moments.squares"].dtype == torch.float64


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_3_statistics_are_saved_loaded_and_merged_whatever_came(dtype: torch.dtype):
    """A loader that raises, a `state_dict` that fails on bfloat16, no `merge`."""
    activations = noise(40, 4, 3).to(dtype)
    whole, first, second = (UnitStatistics({"site": 3}, k=5) for _ in range(3))
    feed(whole, activations)
    feed(first, activations[:25])
    feed(second, activations[25:], 25)
    loaded = UnitStatistics({"site": 3}, k=5)
    loaded.load_state_dict(load(save(first.state_dict())))
    loaded.merge(second)
    found, expected = loaded.state_dict(), whole.state_dict()
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor), name


@pytest.mark.parametrize("hostile", [math.nan, math.inf, -math.inf])
def test_3_what_is_not_finite_never_ranks_and_is_counted(hostile: float):
    activations = noise(10, 4, 3)
    activations[0] = hostile
    activations[4, 2, 1] = hostile
    kept = UnitStatistics({"site": 3}, k=10)
    for start in range(0, 10, 3):
        feed(kept, activations[start : start + 3], start)
    found = kept.site_tensors("site")
    for side in ("top", "bottom"):
        assert found[f"{side}_values"][:9].isfinite().all()
        assert not (found[f"{side}_clips"] == 0).any()
        assert (found[f"{side}_clips"][9] == -1).all()
    assert found["nonfinite"] == 4 * 3 + 1


def test_4_the_state_does_not_grow_with_the_stream():
    """Statistics for each class, or of each clip, grow; ours are O(K · units), and a node of sums for each bit of n."""
    kept = UnitStatistics({"site": 6}, k=4)
    lists, a_node, rest = 2 * (3 * 4 + 1) * 6, 3 * 6 + 3, 6 + 2
    for start in range(0, 1000, 10):
        feed(kept, noise(10, 3, 6, seed=start), start)
        assert numel(kept) == lists + a_node * kept.clips.bit_count() + rest
    assert kept.clips == 1000


def test_5_saving_does_not_change_what_is_saved():
    """A `save()` that strips the live object."""
    kept = UnitStatistics({"site": 6}, k=4)
    feed(kept, noise(10, 3, 6))
    first, second = save(kept.state_dict()), save(kept.state_dict())
    assert first == second


def test_5_a_saved_state_does_not_change_when_the_stream_goes_on():
    """On the CPU, `cpu()` gives the live tensor itself; few units that change are written in place."""
    kept = UnitStatistics({"site": 6}, k=4)
    feed(kept, noise(10, 3, 6))
    state = kept.state_dict()
    before = save(state)
    later = torch.zeros(3, 3, 6)
    later[:, :, 0], later[:, :, 5] = 10.0, math.nan
    feed(kept, later, 10)
    assert kept.state_dict()["top.values"][0, 0] == 10.0
    assert save(state) == before


def test_5_a_loaded_state_is_not_written_to():
    kept, loaded = (UnitStatistics({"site": 6}, k=4) for _ in range(2))
    feed(kept, noise(10, 3, 6))
    state = kept.state_dict()
    before = save(state)
    loaded.load_state_dict(state)
    later = torch.zeros(3, 3, 6)
    later[:, :, 0], later[:, :, 5] = 10.0, math.nan
    feed(loaded, later, 10)
    assert save(state) == before


def test_5_a_last_partial_batch_counts_in_full():
    """11 clips in batches of 5: the last one is neither dropped nor padded."""
    activations = noise(11, 3, 6)
    activations[10] = 100.0
    kept = UnitStatistics({"site": 6}, k=4)
    for start in range(0, 11, 5):
        feed(kept, activations[start : start + 5], start)
    found = kept.site_tensors("site")
    assert found["count"] == 11
    assert found["finite"].tolist() == [11] * 6
    assert found["top_clips"][0].tolist() == [10] * 6


def test_6_ties_come_out_the_same_in_every_order_of_merging():
    """Two values only, so that most are equal, in four shards: all 24 orders."""
    shards = []
    for start in range(0, 20, 5):
        shards.append(TopK(6, 8))
        values = (noise(5, 8, seed=start) > 0).float()
        frames = torch.arange(40, dtype=torch.int32).reshape(5, 8) + 8 * start
        shards[-1].update(values, torch.arange(start, start + 5), frames)
    outcomes = set()
    for order in itertools.permutations(shards):
        merged = TopK(6, 8)
        for shard in order:
            merged.merge(shard)
        outcomes.add(save(merged.state_dict()))
        (one, two), (three, four) = ([shard.state for shard in pair] for pair in (order[:2], order[2:]))
        merged.load_state_dict(topk_merge(topk_merge(one, two), topk_merge(three, four))._asdict())
        outcomes.add(save(merged.state_dict()))
    assert len(outcomes) == 1


def test_7_values_clips_and_frames_stay_together():
    """Reduced one by one, the three parts of a state name a clip that never had the value."""
    values = noise(60, 7)
    frames = torch.randint(0, 1 << 30, (60, 7), dtype=torch.int32, generator=torch.Generator().manual_seed(1))
    clips = torch.randperm(1000, generator=torch.Generator().manual_seed(2))[:60]
    merged = TopK(9, 7)
    for start in range(0, 60, 4):
        part = slice(start, start + 4)
        shard = TopK(9, 7)
        shard.update(values[part], clips[part], frames[part])
        merged.merge(shard)
    for unit in range(7):
        came = set(zip(values[:, unit].tolist(), clips.tolist(), frames[:, unit].tolist(), strict=True))
        kept = list(zip(*(tensor[:, unit].tolist() for tensor in merged.state[:3]), strict=True))
        assert len(set(kept)) == 9
        assert set(kept) <= came


@pytest.mark.parametrize("pooling", ["max", "mean", "first", "last"])
def test_8_padding_is_never_an_exemplar(pooling: str):
    """Even where the model answers to padding more than to anything else."""
    activations = noise(30, 6, 4).clamp(-3, 3)
    lengths = torch.arange(30) % 6  # of every sixth clip, nothing at all
    mask = torch.arange(6) < lengths[:, None]
    activations[~mask] = torch.tensor([1000.0, -1000.0, math.nan, math.inf])
    kept = UnitStatistics({"site": 4}, k=30, pooling=pooling)
    for start in range(0, 30, 7):
        part = slice(start, start + 7)
        feed(kept, activations[part], start, mask[part])
    found = kept.site_tensors("site")
    assert found["nonfinite"] == 0
    assert found["finite"].tolist() == [25] * 4
    for side in ("top", "bottom"):
        clips, frames = found[f"{side}_clips"][:25], found[f"{side}_frames"][:25]
        assert (found[f"{side}_values"][:25].abs() <= 3).all()
        assert (found[f"{side}_clips"][25:] == -1).all()
        assert (clips % 6 != 0).all()
        assert (frames == -1).all() if pooling == "mean" else ((frames >= 0) & (frames < lengths[clips])).all()
