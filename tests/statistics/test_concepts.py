from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load, save

from and_nnsight import ConceptScores
from and_nnsight.kernels.average_precision import FIRST
from and_nnsight.statistics.concepts import ConceptAccumulator, ConceptStatistics
from tests.concept_oracle import similarities
from tests.kernels.score_tables import scores_of, tables, values_of
from tests.oracle import batches_of, examples, merge_at_random

NO_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
DEVICES = ["cpu", pytest.param("cuda", marks=[pytest.mark.gpu, NO_GPU])]
Table = tuple[np.ndarray, np.ndarray]


def as_scores(scores: np.ndarray) -> ConceptScores:
    names = tuple(f"concept {index}" for index in range(scores.shape[1]))
    return ConceptScores(names, torch.arange(len(scores)), torch.tensor(scores), "test")


def empty(table: Table, device: str = "cpu") -> ConceptAccumulator:
    return ConceptAccumulator(table[0].shape[1], as_scores(table[1]), device=device)


def take(kept: ConceptAccumulator, table: Table, batch: slice = slice(None)) -> ConceptAccumulator:
    values, scores = (torch.tensor(part[batch]) for part in table)
    kept.update(values.to(kept.device), scores)
    return kept


def results(kept: ConceptAccumulator) -> dict[str, np.ndarray]:
    return {name: tensor.numpy() for name, tensor in kept.site_tensors(slice(None)).items()}


def check(kept: ConceptAccumulator, table: Table) -> None:
    found = results(kept)
    assert found.pop("clips") == len(table[0])
    for name, expected in similarities(*table).items():
        np.testing.assert_allclose(found[name], expected, rtol=0, atol=1e-6, err_msg=name)


def long_table(kind: str = "spread", scores: str = "mixed", clips: int = 400) -> Table:
    random = np.random.default_rng(0)
    return values_of(random, (clips, 6), kind), scores_of(random, (clips, 4), scores)


@pytest.mark.parametrize("device", DEVICES)
@given(data=st.data(), table=tables())
@examples
def test_any_cut_into_batches_gives_what_the_table_gives(data: st.DataObject, table: Table, device: str):
    kept = empty(table, device)
    for batch in batches_of(data, len(table[0])):
        take(kept, table, batch)
    check(kept, table)


@pytest.mark.slow
@given(data=st.data(), table=tables())
@examples
def test_any_tree_of_merges_gives_what_the_table_gives(data: st.DataObject, table: Table):
    check(merge_at_random(data, [take(empty(table), table, part) for part in batches_of(data, len(table[0]))]), table)


@pytest.mark.slow
@given(data=st.data(), table=tables())
@examples
def test_a_stream_goes_on_after_any_batch_as_if_never_saved(data: st.DataObject, table: Table):
    kept = empty(table)
    for batch in batches_of(data, len(table[0])):
        saved = save(take(kept, table, batch).state_dict())
        kept = empty(table)
        kept.load_state_dict(load(saved))
    check(kept, table)


@pytest.mark.slow
@given(data=st.data(), kind=st.sampled_from(["spread", "ties", "offset", "negative"]))
@examples
def test_bins_do_not_depend_on_batches_or_where_a_run_was_resumed(data: st.DataObject, kind: str):
    table = long_table(kind, "labels")
    whole, kept = take(empty(table), table), empty(table)
    for batch in batches_of(data, len(table[0])):
        saved = take(kept, table, batch).state_dict()
        kept = empty(table)
        kept.load_state_dict(saved)
    assert whole.binned
    for name in ("edges", "positives", "everything"):
        assert torch.equal(getattr(kept, name), getattr(whole, name))
    np.testing.assert_array_equal(results(kept)["auprc"], results(whole)["auprc"])


@pytest.mark.parametrize("clips", [FIRST - 1, FIRST])
def test_up_to_the_first_clips_average_precision_is_exact_and_then_near(clips: int):
    table = long_table("spread", "labels", clips)
    exact = similarities(*table)["auprc"]
    apart = abs(results(take(empty(table), table))["auprc"] - exact)
    assert apart.max() < (1e-6 if clips < FIRST else 0.05)


def test_only_concepts_of_zeros_and_ones_have_average_precision():
    for clips in (100, 300):
        table = long_table(clips=clips)
        found = results(take(empty(table), table))["auprc"]
        assert np.isnan(found).all(0).tolist() == [True, False, True, False]
        assert not np.isnan(found[:, [1, 3]]).any()
    table = long_table(scores="normal")
    kept = take(empty(table), table)
    assert np.isnan(results(kept)["auprc"]).all()
    assert not kept.binned, "nothing is kept for what is not asked"


def test_a_unit_that_is_not_finite_once_is_nan_and_counted():
    table = long_table()
    table[0][399, 2] = np.nan
    kept = take(empty(table), table)
    found = ConceptStatistics.from_tensors(kept.scores.names, kept.site_tensors(slice(None)))
    assert found.incomplete.tolist() == [False, False, True, False, False, False]
    for name in ("pearson", "cos", "cos_cubed", "auprc"):
        assert getattr(found, name)[2].isnan().all()
    assert not found.auprc[[0, 1, 3, 4, 5]][:, 1].isnan().any()


def test_a_slice_of_units_is_theirs():
    table = long_table()
    kept = take(empty(table), table)
    part = kept.site_tensors(slice(2, 5))
    for name in ("pearson", "cos", "cos_cubed", "auprc"):
        np.testing.assert_array_equal(part[name].numpy(), results(kept)[name][2:5])
        assert part[name].dtype == torch.float32 and part[name].is_contiguous()


def test_shards_of_any_length_merge_if_they_share_bins():
    table = long_table("ties", "labels", 900)
    whole = take(empty(table), table)
    first = take(empty(table), table, slice(0, 300))
    later = empty(table)
    later.begin_as(first)
    take(later, table, slice(300, 900))
    first.merge(later)
    for name in ("positives", "everything"):
        assert torch.equal(getattr(first, name), getattr(whole, name))
    np.testing.assert_allclose(results(first)["cos_cubed"], results(whole)["cos_cubed"], atol=1e-7)
    with pytest.raises(ValueError, match="bins can be shared only before the first clip"):
        later.begin_as(first)


@pytest.mark.parametrize("cut", [100, 300])
def test_a_short_shard_merges_with_a_long_one_either_way(cut: int):
    table = long_table("spread", "labels")
    whole, long = take(empty(table), table), slice(0, cut) if cut == 300 else slice(cut, 400)
    short = slice(cut, 400) if cut == 300 else slice(0, cut)
    for one, other in ((long, short), (short, long)):
        merged = take(empty(table), table, one)
        merged.merge(take(empty(table), table, other))
        assert merged.binned and int(merged.everything.sum()) == 6 * 400
        assert abs(results(merged)["auprc"] - results(whole)["auprc"]).max() < 0.05


def test_long_histories_of_their_own_bins_do_not_merge():
    table = long_table("spread", "labels", 600)
    one, other = take(empty(table), table, slice(0, 300)), take(empty(table), table, slice(300, 600))
    before = one.state_dict()
    with pytest.raises(ValueError, match="different bins: each fixed its own by its first 256 clips"):
        one.merge(other)
    assert all(torch.equal(before[name], tensor) for name, tensor in one.state_dict().items())


def test_unlike_histories_neither_merge_nor_load():
    table = long_table()
    for other in (long_table(scores="labels"), (table[0][:, :3], table[1]), (table[0], table[1][:, :3])):
        with pytest.raises(ValueError, match="different units or concepts"):
            empty(table).merge(empty(other))
        with pytest.raises(ValueError, match=r"state is for \(3, \d, \d, \d, \d\)"):
            empty(table).load_state_dict(empty(other).state_dict())


def test_merging_and_saving_leave_the_other_as_it_was():
    table = long_table("spread", "labels", 300)
    one, other = empty(table), take(empty(table), table)
    saved = other.state_dict()
    one.merge(other)
    take(one, table)
    take(empty(table), table).load_state_dict(saved)
    assert all(torch.equal(saved[name], tensor) for name, tensor in other.state_dict().items())


def test_a_loaded_state_is_not_written_to():
    """Sums are added to in place, and counts are."""
    table = long_table("spread", "mixed", 400)
    state = take(empty(table), table, slice(0, 300)).state_dict()
    assert len(state["first"]) == len(state["first_scores"]) == 0  # once there are bins, no clip is kept
    before = save(state)
    loaded = empty(table)
    loaded.load_state_dict(state)
    take(loaded, table, slice(300, 400))
    assert save(state) == before
    assert save(loaded.state_dict()) != before


def test_all_that_is_kept_lies_on_the_device_that_is_asked_for():
    """`meta` stands for a GPU: tensors that lie nowhere. The first scores stay on the CPU, where what fits is found."""
    table = long_table("spread", "mixed", 300)
    kept = empty(table, "meta")
    few, many = take(empty(table), table, slice(0, 20)), take(empty(table), table)
    batch = torch.zeros(5, 6, device="meta"), torch.tensor(table[1][:5])
    for change in (
        lambda: None,
        lambda: kept.update(*batch),
        lambda: kept.load_state_dict(few.state_dict()),
        lambda: kept.merge(few),
        lambda: kept.load_state_dict(many.state_dict()),
        kept.reset,
        lambda: kept.merge(many),
    ):
        change()
        tensors = [*kept.sums, kept.first, kept.edges, kept.positives, kept.everything]
        assert {tensor.device.type for tensor in tensors} == {"meta"}
        assert kept.first_scores.device.type == "cpu"


def test_reset_forgets_everything():
    table = long_table("spread", "labels", 300)
    kept, fresh = take(empty(table), table), empty(table)
    kept.reset()
    state = kept.state_dict()
    assert all(torch.equal(state[name].nan_to_num(7), t.nan_to_num(7)) for name, t in fresh.state_dict().items())


@pytest.mark.parametrize("begin", ["update", "load", "merge"])
def test_what_began_in_inference_mode_goes_on_outside_of_it(begin: str):
    table = long_table("spread", "labels")
    kept = empty(table)
    with torch.inference_mode():
        take(kept, table, slice(0, 200))
        if begin == "load":
            kept.load_state_dict(kept.state_dict())
        elif begin == "merge":
            merged = empty(table)
            merged.merge(kept)
            kept = merged
    for start in range(200, 400, 50):
        take(kept, table, slice(start, start + 50))
    np.testing.assert_array_equal(results(kept)["auprc"], results(take(empty(table), table))["auprc"])


def test_counts_hold_the_most_frequent_concept():
    for most, dtype in ((255, torch.uint8), (256, torch.int16), (32_768, torch.int32)):
        labels = {clip: "often" if clip < most else "rarely" for clip in range(most + 1)}
        scores = ConceptScores.from_labels(labels)
        kept = ConceptAccumulator(1, scores)
        kept.update(torch.zeros(most + 1, 1), scores.values)
        assert kept.positives.dtype == dtype
        assert kept.positives.sum(2).tolist() == [[most, 1]]


@pytest.mark.parametrize("scores", ["labels", "normal", "mixed"])
def test_the_bytes_that_are_said_are_those_that_are_held(scores: str):
    table = long_table(scores=scores)
    state = take(empty(table), table).state_dict()
    said = ConceptAccumulator.bytes_needed(6, as_scores(table[1]))
    held = sum(tensor.nbytes for tensor in state.values())
    first = 0 if scores == "normal" else 4 * FIRST * 6  # held before the bins
    assert held <= said
    assert abs(said - held - first) <= 512


def test_a_long_stream_is_compared_as_a_table_is():
    """Thousands of clips a few at a time, with an offset far above the spread."""
    random = np.random.default_rng(1)
    values = (1e4 + random.normal(size=(3_000, 3))).astype(np.float32)
    table = values, scores_of(random, (3_000, 2), "offset")
    kept = empty(table)
    for start in range(0, 3_000, 8):
        take(kept, table, slice(start, start + 8))
    check(kept, table)
