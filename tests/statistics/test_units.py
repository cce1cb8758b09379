from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load, save

from and_nnsight.kernels import POOLINGS
from and_nnsight.statistics.units import UnitStatistics
from tests.oracle import EXACT_VALUES, VALUES, Oracle, Stream, batches_of, examples, merge_at_random, streams

NO_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
DEVICES = ["cpu", pytest.param("cuda", marks=[pytest.mark.gpu, NO_GPU])]
Sites = dict[str, Stream]


def sites_of(data: st.DataObject, pooling: str) -> Sites:
    """One to three sites that saw the same clips, each with frames, units, masks and a dtype of its own."""
    clips = data.draw(st.integers(0, 40), label="clips")
    one = streams(clips=clips, values=EXACT_VALUES if pooling == "mean" else VALUES)
    drawn = data.draw(st.lists(one, min_size=1, max_size=3), label="sites")
    return {f"blocks.{index}": replace(stream, clips=drawn[0].clips) for index, stream in enumerate(drawn)}


def widths(sites: Sites) -> dict[str, int]:
    return {name: stream.activations.shape[2] for name, stream in sites.items()}


def take(kept: UnitStatistics, sites: Sites, batch: slice = slice(None), *, finish: bool = True) -> None:
    for name, stream in sites.items():
        part = stream[batch]
        kept.update(name, *(tensor.to(kept.device) for tensor in (part.activations, part.clips, part.mask)))
    if finish:
        kept.finish_batch()


def asked(sites: Sites, pooling: str) -> Oracle:
    oracle = Oracle(pooling)
    for name, stream in sites.items():
        oracle.feed(name, stream.activations, stream.clips, stream.mask)
    return oracle


def one_batch(clips: int, *widths: int) -> Sites:
    """Sites `a`, `b`, ... of these widths, the same whenever it is called."""
    random = torch.Generator().manual_seed(clips)
    ids, mask = torch.arange(clips), torch.ones(clips, 3, dtype=torch.bool)
    return {
        name: Stream(torch.randn(clips, 3, width, generator=random), ids, mask)
        for name, width in zip("abcdefgh", widths, strict=False)
    }


def same(kept: UnitStatistics, other: UnitStatistics) -> bool:
    ours, theirs = kept.state_dict(), other.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.slow
@pytest.mark.parametrize("device", DEVICES)
@given(data=st.data(), pooling=st.sampled_from(POOLINGS), k=st.integers(1, 6))
@examples
def test_any_cut_into_batches_gives_what_the_oracle_finds(data: st.DataObject, pooling: str, k: int, device: str):
    sites = sites_of(data, pooling)
    kept = UnitStatistics(widths(sites), k=k, pooling=pooling, device=device)
    for batch in batches_of(data, len(sites["blocks.0"])):
        take(kept, sites, batch)
    asked(sites, pooling).check(kept)


@pytest.mark.slow
@pytest.mark.parametrize("device", DEVICES)
@given(data=st.data(), pooling=st.sampled_from(POOLINGS), k=st.integers(1, 6))
@examples
def test_any_tree_of_merges_gives_what_the_oracle_finds(data: st.DataObject, pooling: str, k: int, device: str):
    sites = sites_of(data, pooling)
    shards = []
    for part in batches_of(data, len(sites["blocks.0"])):
        shards.append(UnitStatistics(widths(sites), k=k, pooling=pooling, device=device))
        take(shards[-1], sites, part)
    asked(sites, pooling).check(merge_at_random(data, shards))


@pytest.mark.slow
@pytest.mark.parametrize("device", DEVICES)
@given(data=st.data(), pooling=st.sampled_from(POOLINGS), k=st.integers(1, 6))
@examples
def test_a_stream_goes_on_after_any_batch_as_if_never_saved(data: st.DataObject, pooling: str, k: int, device: str):
    sites = sites_of(data, pooling)
    kept = UnitStatistics(widths(sites), k=k, pooling=pooling, device=device)
    for batch in batches_of(data, len(sites["blocks.0"])):
        take(kept, sites, batch)
        saved = save(kept.state_dict())
        kept = UnitStatistics(widths(sites), k=k, pooling=pooling, device=device)
        kept.load_state_dict(load(saved))
    asked(sites, pooling).check(kept)


def test_a_batch_without_clips_changes_nothing():
    kept, alone = (UnitStatistics({"a": 4}, k=2) for _ in range(2))
    for statistics in (kept, alone):
        take(statistics, one_batch(5, 4))
    take(kept, one_batch(0, 4))
    assert same(kept, alone)


def test_one_site_of_one_unit_is_enough():
    sites = one_batch(5, 1)
    kept = UnitStatistics({"a": 1}, k=2)
    take(kept, sites)
    asked(sites, "max").check(kept)


def test_nothing_but_nothing_comes_of_no_clips():
    found = UnitStatistics({"a": 2}, k=3).site_tensors("a")
    assert found["top_values"].isneginf().all()
    assert found["bottom_values"].isposinf().all()
    for name in ("top_clips", "top_frames", "bottom_clips", "bottom_frames"):
        assert (found[name] == -1).all()
    for name in ("top_ties", "bottom_ties", "count", "finite", "nonfinite"):
        assert not found[name].any()
    for name in ("mean", "variance", "active"):
        assert found[name].isnan().all()


def test_a_sites_tensors_are_contiguous_and_typed_for_a_file():
    kept = UnitStatistics({"a": 4, "b": 3}, k=2)
    take(kept, one_batch(5, 4, 3))
    found = kept.site_tensors("b")
    assert all(tensor.is_contiguous() and tensor.device.type == "cpu" for tensor in found.values())
    kinds = {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in found.items()}
    assert kinds == {
        "top_values": ((2, 3), torch.float32),
        "top_clips": ((2, 3), torch.int64),
        "top_frames": ((2, 3), torch.int32),
        "top_ties": ((3,), torch.int64),
        "bottom_values": ((2, 3), torch.float32),
        "bottom_clips": ((2, 3), torch.int64),
        "bottom_frames": ((2, 3), torch.int32),
        "bottom_ties": ((3,), torch.int64),
        "count": ((), torch.int64),
        "finite": ((3,), torch.int64),
        "mean": ((3,), torch.float32),
        "variance": ((3,), torch.float32),
        "active": ((3,), torch.float32),
        "nonfinite": ((), torch.int64),
    }


def test_a_sites_tensors_do_not_change_when_the_stream_goes_on():
    """Of one site alone, [k, unit] is the whole of the state, which the CPU updates in place."""
    kept = UnitStatistics({"a": 40}, k=2)
    take(kept, one_batch(5, 40))
    found = kept.site_tensors("a")
    before = {name: tensor.clone() for name, tensor in found.items()}
    later = one_batch(6, 40)["a"]
    later.activations[:, :, 7:] = 0.0
    later.activations[:, :, :7] += 10.0  # few units are reached: those change in place
    take(kept, {"a": replace(later, clips=later.clips + 5)})
    assert not torch.equal(kept.site_tensors("a")["top_values"], before["top_values"])
    assert all(torch.equal(found[name], before[name]) for name in found)


def test_activations_with_a_graph_behind_them_are_taken_without_it():
    """Else every batch's graph, activations included, would live as long as the statistics."""
    sites = one_batch(5, 4)
    sites["a"].activations.requires_grad_()
    kept = UnitStatistics({"a": 4}, k=2)
    take(kept, sites)
    assert not any(tensor.requires_grad for tensor in kept.state_dict().values())


@pytest.mark.parametrize("begin", ["update", "load"])
def test_what_began_in_inference_mode_goes_on_outside_of_it(begin: str):
    sites = one_batch(30, 4)
    kept = UnitStatistics({"a": 4}, k=2)
    with torch.inference_mode():
        take(kept, sites, slice(0, 5))
        if begin == "load":
            kept.load_state_dict(kept.state_dict())
    for start in range(5, 30):
        take(kept, sites, slice(start, start + 1))
    asked(sites, "max").check(kept)
    kept.merge(UnitStatistics({"a": 4}, k=2))
    kept.reset()
    assert same(kept, UnitStatistics({"a": 4}, k=2))


def test_merging_leaves_the_other_as_it_was():
    one, other, untouched = (UnitStatistics({"a": 4}, k=2) for _ in range(3))
    for statistics in (other, untouched):
        take(statistics, one_batch(5, 4))
    one.merge(other)
    later = one_batch(6, 4)["a"]
    take(one, {"a": replace(later, clips=later.clips + 5)})
    assert same(other, untouched)


def test_reset_forgets_everything():
    kept = UnitStatistics({"a": 4, "b": 3}, k=2)
    sites = one_batch(5, 4, 3)
    sites["b"].activations[2, 1] = torch.nan
    take(kept, sites)
    assert kept.site_tensors("b")["nonfinite"] == 3
    take(kept, one_batch(5, 4), finish=False)
    kept.reset()
    assert same(kept, UnitStatistics({"a": 4, "b": 3}, k=2))
    take(kept, one_batch(5, 4, 3))


def test_loading_drops_a_batch_that_was_begun():
    kept, saved = (UnitStatistics({"a": 4}, k=2) for _ in range(2))
    take(kept, one_batch(5, 4), finish=False)
    kept.load_state_dict(saved.state_dict())
    take(kept, one_batch(6, 4))
    assert kept.clips == 6


def test_a_site_that_did_not_fire_is_named_and_its_batch_dropped():
    kept = UnitStatistics({"a": 4, "b": 3, "c": 2}, k=2)
    take(kept, {"b": one_batch(5, 4, 3)["b"]}, finish=False)
    with pytest.raises(RuntimeError, match="2 of 3 sites did not fire: a, c"):
        kept.finish_batch()
    assert same(kept, UnitStatistics({"a": 4, "b": 3, "c": 2}, k=2))
    take(kept, one_batch(5, 4, 3, 2))
    assert kept.clips == 5


def test_a_discarded_batch_leaves_no_trace():
    kept = UnitStatistics({"a": 4}, k=2)
    take(kept, one_batch(5, 4), finish=False)
    kept.discard_batch()
    assert same(kept, UnitStatistics({"a": 4}, k=2))
    take(kept, one_batch(6, 4))
    assert kept.clips == 6


@pytest.mark.parametrize(
    ("update", "message"),
    [
        (one_batch(5, 4, 3, 2)["c"], "no statistics are kept of site 'c'"),
        (one_batch(5, 4)["a"], "site 'a' came twice in one batch"),
        (one_batch(5, 4)["a"], "site 'b' has 4 units, not 3"),
        (one_batch(6, 4, 3)["b"], "site 'b' came with other clips than the sites before it in the batch"),
        (
            replace(one_batch(5, 4, 3)["b"], clips=torch.arange(5).flip(0)),
            "site 'b' came with other clips than the sites before it in the batch",
        ),
    ],
)
def test_an_update_that_does_not_fit_is_refused(update: Stream, message: str):
    kept = UnitStatistics({"a": 4, "b": 3}, k=2)
    take(kept, one_batch(5, 4), finish=False)
    with pytest.raises(ValueError, match=message):
        take(kept, {message.split("'")[1]: update}, finish=False)
    take(kept, {"b": one_batch(5, 4, 3)["b"]})
    assert kept.clips == 5


def test_an_unknown_pooling_is_refused():
    with pytest.raises(ValueError, match=r"unknown pooling 'median': one of max, mean, cls, first, last"):
        UnitStatistics({"a": 4}, pooling="median")


@pytest.mark.parametrize("widths", [{}, {"a": 4, "b": 0}])
def test_sites_without_units_are_refused(widths: dict[str, int]):
    with pytest.raises(ValueError, match="every site needs at least one unit"):
        UnitStatistics(widths)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (UnitStatistics({"a": 4}, k=2), "different sites or pooling"),
        (UnitStatistics({"a": 4, "b": 2}, k=2), "different sites or pooling"),
        (UnitStatistics({"b": 3, "a": 4}, k=2), "different sites or pooling"),
        (UnitStatistics({"a": 4, "b": 3}, k=2, pooling="mean"), "different sites or pooling"),
        (UnitStatistics({"a": 4, "b": 3}, k=3), "different K, units or direction"),
    ],
)
def test_unlike_statistics_do_not_merge(other: UnitStatistics, message: str):
    kept, before = (UnitStatistics({"a": 4, "b": 3}, k=2) for _ in range(2))
    with pytest.raises(ValueError, match=message):
        kept.merge(other)
    assert same(kept, before)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (UnitStatistics({"a": 7}, k=2), "state is for 1 sites, not 2"),
        (UnitStatistics({"a": 4, "b": 2}, k=2), r"the state's values have shape \(2, 6\), not \(2, 7\)"),
        (UnitStatistics({"a": 4, "b": 3}, k=3), r"the state's values have shape \(3, 7\), not \(2, 7\)"),
    ],
)
def test_a_state_of_another_shape_is_not_loaded(other: UnitStatistics, message: str):
    kept, before = (UnitStatistics({"a": 4, "b": 3}, k=2) for _ in range(2))
    with pytest.raises(ValueError, match=message):
        kept.load_state_dict(other.state_dict())
    assert same(kept, before)


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_all_that_is_kept_lies_on_the_device_that_is_asked_for(device: str):
    """`meta` stands for a GPU: tensors that lie nowhere."""
    kept, other = UnitStatistics({"a": 4, "b": 3}, k=2, device=device), UnitStatistics({"a": 4, "b": 3}, k=2)
    changes = (kept.reset, lambda: kept.load_state_dict(other.state_dict()), lambda: kept.merge(other))
    for change in (lambda: None, *changes):
        change()
        tensors = [*kept.top.state, *kept.bottom.state, *kept.moments.state, kept.nonfinite]
        assert {tensor.device.type for tensor in tensors} == {device}
