"""The benchmark scripts still run, and measure what they say they do."""

from __future__ import annotations

import json
import os
import shlex
import time
from mmap import PAGESIZE, mmap

import pytest
import torch
from transformers import ASTConfig

from and_nnsight.statistics.units import UnitStatistics
from benchmarks import _mutants, _report, memory, mutations, overhead

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def subject():
    config = ASTConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_length=48,
        num_mel_bins=32,
        num_labels=3,
    )
    return overhead.make_subject(config, CPU)


def steps(subject, variant, batches):
    statistics = UnitStatistics(subject.widths, k=4)
    store = overhead.StoreEverything()
    step = overhead.make_step(variant, subject, statistics, store)
    for number, features in enumerate(batches):
        step(features, [2 * number, 2 * number + 1])
    return statistics, store


def test_every_way_of_collecting_finds_the_same_clips(subject):
    batches = [subject.features(2) for _ in range(5)]
    traced, _ = steps(subject, "trace", batches)
    hooked, _ = steps(subject, "hooks", batches)
    _, store = steps(subject, "store", batches)
    stored = store.finish(k=4)
    for name in subject.widths:
        ours = traced.site_tensors(name)
        assert torch.equal(ours["top_clips"], hooked.site_tensors(name)["top_clips"])
        assert torch.equal(ours["top_clips"], stored[name][0])
        assert torch.equal(ours["bottom_clips"], stored[name][1])


def test_the_bare_step_collects_nothing(subject):
    statistics, store = steps(subject, "bare", [subject.features(2)])
    assert statistics.clips == 0
    assert not store.kept


def test_ast_base_has_the_papers_number_of_units():
    config = overhead.GEOMETRIES["ast-base"]()
    assert config.num_hidden_layers * (2 * config.hidden_size + config.intermediate_size) + config.num_labels == 55_346


def test_a_filled_top_k_lets_few_units_of_the_next_batch_in(subject):
    torch.manual_seed(0)
    statistics, _ = steps(subject, "trace", [subject.features(2) for _ in range(8)])
    overhead.fill(statistics, seen=4_000)
    state = statistics.state_dict()
    values = state["top.values"]
    assert (values[:-1] >= values[1:]).all()
    assert (state["bottom.values"].amax(0) < values.amin(0)).all()
    step = overhead.make_step("trace", subject, statistics, overhead.StoreEverything())
    step(subject.features(2), [5_000, 5_001])
    assert 0 < overhead._share_changed(statistics, state) < 0.25


def test_steps_are_measured_against_bare_forwards(subject):
    row = overhead.measure_steps(subject, batch_size=2, rounds=2, steps=2, seen=50)
    assert row["units"] == sum(subject.widths.values())
    ways = {(way["variant"], way["state"]): way for way in row["ways"]}
    assert set(ways) == {overhead.BARE, *overhead.WAYS}
    for way in overhead.WAYS:
        ratio = ways[way]["ratio"]
        assert 0 < ratio["min"] <= ratio["median"] <= ratio["max"]
    _report.print_steps({"geometry": "test", "dtype": "float32", **row})


def test_dissect_and_storing_everything_agree_on_files(subject):
    row = overhead.measure_files(subject, clips=6, batch_size=4, workers=0, repeats=1)
    assert row["same_clips"] > 0.98
    assert row["dissect"]["median"] > 0
    _report.print_files({"geometry": "test", **row})


def test_memory_is_measured_on_clips_that_differ():
    clips = list(memory.Noise(3))
    assert [len(clip["array"]) for clip in clips] == [memory.CLIP] * 3
    assert not (clips[0]["array"] == clips[1]["array"]).any()
    assert sum(site.width for site in memory.tiny_model().sites("paper")) == 4_234


@pytest.fixture
def threads():
    number = torch.get_num_threads()
    yield
    torch.set_num_threads(number)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("way", ["dissect", "store"])
def test_a_runs_peak_memory_is_at_least_where_it_began(way):
    run = memory.peak_of_run(way, clips=10, batch_size=4)
    assert run["peak_bytes"] >= run["before_bytes"] > 0
    assert run["seconds"] >= 0  # to hundredths: a fast machine may need none


def test_growth_is_from_the_smallest_to_the_largest_run():
    rows = [{"way": "dissect", "clips": clips, "peak_bytes": peak} for clips, peak in ((2_000, 7), (20, 5), (200, 9))]
    assert memory.growth(rows, "dissect") == 2


def test_peak_memory_sees_what_was_freed_again():
    with _report.PeakMemory() as watch, mmap(-1, 200_000_000) as held:
        # Pages of its own: a tensor may find room in what earlier tests have freed and the allocator has kept.
        for start in range(0, len(held), PAGESIZE):
            held[start] = 1
        patience = time.monotonic() + 120
        while watch.peak - watch.before <= 150_000_000 and time.monotonic() < patience:
            time.sleep(0.005)  # its thread gets its turn when the machine lets it
    assert watch.peak - watch.before > 150_000_000


def test_mutants_of_the_wording_of_an_error_are_told_from_those_of_what_is_computed(tmp_path):
    """Such a file is what mutmut writes."""
    body = "    if units < {}:\n        raise ValueError({!r})\n    return units {} 1\n\n"
    kinds = {"orig": (1, "none", "+"), "1": (1, "XXnoneXX", "+"), "2": (2, "none", "+"), "3": (1, "none", "-")}
    code = "".join(f"def x_count__mutmut_{kind}(units):\n" + body.format(*parts) for kind, parts in kinds.items())
    (tmp_path / "mutated.py").write_text(code)
    functions = _mutants.Functions(tmp_path / "mutated.py")
    assert [functions.wording(f"package.module.x_count__mutmut_{number}") for number in (1, 2, 3)] == [
        True,
        False,
        False,
    ]
    assert functions.difference("package.module.x_count__mutmut_3") == [
        "-    return units + 1",
        "+    return units - 1",
    ]


def test_every_module_whose_mutants_are_run_is_there_with_its_tests():
    for module, tests in mutations.SUBJECTS.items():
        assert (mutations.ROOT / "and_nnsight" / module).exists()
        assert all((mutations.ROOT / "tests" / test).exists() for test in tests.split())


def test_a_mutant_that_never_ends_counts_as_noticed_and_one_without_a_test_as_not():
    statuses = ("killed", "timeout", "survived", "no test")
    mutants = {str(place): {"status": status, "difference": [status]} for place, status in enumerate(statuses)}
    row = mutations.summary("run.py", {"generated": 9, "wording": 2, "mutants": mutants})
    assert (row["run"], row["killed"], row["survived"]) == (4, 2, 2)
    assert row["unnoticed"] == [["survived"], ["no test"]]


def test_a_fresh_process_is_another_one():
    assert _report.fresh_process(os.getpid) != os.getpid()


def test_a_report_carries_what_the_numbers_hang_on(tmp_path):
    path = _report.write_report("overhead", CPU, {"steps": [1]}, {"target": 1.1}, folder=tmp_path)
    assert path == tmp_path / f"cpu-{_report.cores()}-cores" / "overhead.json"
    report = json.loads(path.read_text())
    assert report["steps"] == [1]
    assert report["targets"] == {"target": 1.1}
    assert report["device"]["cores"] == _report.cores()
    assert {"python", "torch", "nnsight", "transformers"} <= set(report["versions"])
    assert report["command"].startswith("python -m benchmarks.overhead")


def test_a_report_names_no_place_on_this_machine(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "sys.argv", ["x", "--model", str(tmp_path / "ast"), f"--data={tmp_path / 'sounds'}", "--seed", "1", "~/a"]
    )
    report = json.loads(_report.write_report("overhead", CPU, {}, {}, folder=tmp_path).read_text())
    assert report["command"] == "python -m benchmarks.overhead --model ast --data=sounds --seed 1 a"


def test_no_result_that_is_kept_names_a_place_of_its_machine():
    for path in _report.RESULTS.rglob("*.json"):
        command = json.loads(path.read_text()).get("command", "")
        assert not [part for part in shlex.split(command) if part.startswith(("/", "~"))], path


def test_spread_is_the_median_and_the_range():
    assert _report.spread([3.0, 1.0, 2.0]) == {"median": 2.0, "min": 1.0, "max": 3.0}
