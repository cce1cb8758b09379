"""The simulation of long runs still runs, and its shards are shards."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest

from and_nnsight.data.shards import Stretch
from benchmarks import _extrapolation, _many_shards, scale


@pytest.mark.parametrize(("start", "stop"), [(0, 64), (0, 1_999_999), (31_232, 62_464), (5, 6), (3, 1_000)])
def test_nodes_make_up_their_stretch(start: int, stop: int) -> None:
    stretches = [(index << level, (index + 1) << level) for level, index in _many_shards.stretch_keys(start, stop)]
    assert [stretches[0][0], stretches[-1][1]] == [start, stop]
    assert all(one[1] == other[0] for one, other in pairwise(stretches))
    assert len(stretches) <= 2 * stop.bit_length()


def test_ast_base_has_the_papers_number_of_units() -> None:
    assert sum(_many_shards.widths_of(55_346).values()) == 55_346
    assert len(_many_shards.widths_of(55_346)) == 37


def test_shards_that_are_made_up_merge(tmp_path: Path) -> None:
    _many_shards.write_shards(tmp_path, 12, 5, 1_000, 3)
    told = scale.merging(str(tmp_path))
    assert told["clips"] == 1_000 and told["peak_bytes"] > 0
    statistics = _many_shards.filled({"a": 3}, Stretch(64, 128), 2, 0)
    assert statistics.moments.state.count.tolist() == [64, 64, 64]


def test_a_run_of_the_stub_model_is_measured() -> None:
    told = scale.long_run(130, 8)
    assert told["clips"] == 130 and told["cpu_seconds"] > 0


def test_hours_follow_from_what_was_measured(tmp_path: Path) -> None:
    (tmp_path / "a-gpu").mkdir()
    way = {"variant": "trace", "state": "steady", "seconds": {"median": 0.1}}
    step = {"geometry": "ast-base", "dtype": "bfloat16", "batch_size": 64, "ways": [way]}
    row = {"format": "flac", "workers": 8, "clips_a_second": 320.0}
    for name, report in {
        "overhead": {"date": "2026-11-26T00:00:00+00:00", "steps": [step, {**step, "geometry": "tiny"}]},
        "throughput": {"date": "2026-11-25T00:00:00+00:00", "geometry": "ast-base", "dtype": "bfloat16", "rows": [row]},
        "other": {},
    }.items():
        (tmp_path / "a-gpu" / f"{name}.json").write_text(json.dumps(report))
    parts = _extrapolation.parts_of(tmp_path)
    assert [(part.clips_a_second, part.date) for part in parts] == [(640.0, "2026-11-26"), (320.0, "2026-11-25")]
    assumed = _extrapolation.Assumptions(gpu_price=2.0, cpu_price=0.5, cores=4, gpus=10)
    prepared = {"decoding": 0.01, "decoding and features": 0.02}
    step_row, pass_row, *_ = _extrapolation.extrapolate(parts, 0.001, prepared, assumed)
    clips = step_row["clips"]
    assert step_row["parts_in_gpu_hours"]["decoding and features"] == round(clips * 0.02 / 4 / 3600, 2)
    assert step_row["bound_by"] == "decoding and features"
    assert pass_row["bound_by"] == "GPU" and "decoding and features" not in pass_row["parts_in_gpu_hours"]
    gpu_hours = clips / 320 / 3600
    assert pass_row["gpu_hours"] == [round(gpu_hours, 2), round(gpu_hours + clips * 0.001 / 3600, 2)]
    assert pass_row["dollars"][0] == round(gpu_hours * 4.0, 2)
    assert pass_row["hours"][0] == round(gpu_hours / 10, 2)
