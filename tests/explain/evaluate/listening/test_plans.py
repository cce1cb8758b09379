"""Which clips a claim is judged by: line-ups and their places."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest

from and_nnsight import Dissection
from and_nnsight.explain.evaluate.listening.plans import Design
from and_nnsight.explain.evaluate.listening.trials import draw_trials
from tests.explain.evaluate.listening.scripted import Guessing, Scripted, heard


@pytest.mark.slow
def test_half_the_clips_are_those_on_which_the_unit_fires_and_no_clip_is_in_two_line_ups(pair) -> None:
    listener = Scripted(pair[1])
    for unit, row in heard(pair, listener, units=range(20)).items():
        assert sum(row.fires) == 5
        assert listener.fires[row.clips, unit].tolist() == row.fires
        assert len(set(row.clips)) == 10
        lined_up = [clip for line_up in row.intruder_clips for clip in line_up]
        assert len(lined_up) == len(set(lined_up)) == 25
        for clips, place in zip(row.intruder_clips, row.intruder_places, strict=True):
            assert [clip for clip in clips if not listener.fires[clip, unit]] == [clips[place]]


@pytest.mark.slow
def test_the_place_of_the_intruder_and_of_firing_clips_tells_nothing(pair) -> None:
    rows = heard(pair, Scripted(pair[1])).values()
    places = np.bincount([place for row in rows for place in row.intruder_places], minlength=5)
    assert (np.abs(places / places.sum() - 0.2) < 0.05).all()
    firing = np.mean([row.fires for row in rows], 0)
    assert (np.abs(firing - 0.5) < 0.12).all()


@pytest.mark.parametrize(
    ("values", "clips", "line_ups"),
    [  # of the clips on which it fires, those count that lie half as far from its mean as the strongest
        ([1.0] * 30, 0, 0),
        ([np.nan] * 30, 0, 0),
        ([0.0] * 29 + [1.0], 2, 0),
        ([0.0] * 25 + [1.0, 2.0, 3.0, 4.0, 5.0], 6, 0),
        ([0.0] * 25 + [3.0, 3.5, 4.0, 4.5, 5.0], 10, 1),
        ([np.nan] * 4 + [0.0] * 22 + [2.5, 3.0, 3.5, 4.0], 8, 1),
        ([0.0, 8.6, 8.7, 8.8, 8.9, 9.0], 2, 1),
    ],
    ids=["constant", "not finite", "one clip", "three of five are strong", "five", "four, others not finite", "most"],
)
def test_a_unit_that_fires_on_few_clips_is_judged_by_those_there_are(
    values: list[float], clips: int, line_ups: int
) -> None:
    ids = [100 + place for place in range(len(values))]
    share = 0.83 if len(values) == 6 else 0.2
    drawn = draw_trials(np.array(values, np.float32), ids, share, 10, 5, 4, np.random.default_rng(0))
    assert (len(drawn.clips), sum(drawn.fires), len(drawn.line_ups)) == (clips, clips // 2, line_ups)
    finite = {clip for clip, value in zip(ids, values, strict=True) if np.isfinite(value)}
    assert set(drawn.clips) <= finite


def test_copies_of_a_clip_are_heard_once(pair, tmp_path: Path) -> None:
    held_out = Dissection.load(shutil.copytree(pair[1].folder, tmp_path / "copies"))
    path = held_out.folder / "clips.parquet"
    rows = [row | {"content": f"{row['clip'] % 50}"} for row in parquet.read_table(path).to_pylist()]
    parquet.write_table(arrow.Table.from_pylist(rows), path)
    listener = Guessing(pair[1])
    heard((pair[0], Dissection.load(held_out.folder)), listener, units=range(5))
    assert listener.questions
    assert all(clip < 50 for _, clips in listener.questions for clip in clips)


def test_which_units_are_asked_for_makes_no_difference(pair) -> None:
    some = heard(pair, Scripted(pair[1], 0.8), units=[5, 9])
    (pair[0].folder / "explanations" / "listening.parquet").unlink()
    every = heard(pair, Scripted(pair[1], 0.8), units=range(12))
    assert {unit: every[unit] for unit in some} == some


@pytest.mark.parametrize("design", [{"excerpts": 1}, {"excerpts": 22}, {"line_ups": -1}, {"others": -1}])
def test_a_design_that_makes_no_sense_is_refused(design: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="at least"):
        Design(**design)
