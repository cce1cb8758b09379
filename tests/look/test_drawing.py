"""Curves over pictures: an activation stands where and as high as it was."""

from __future__ import annotations

import re

import numpy as np
import pytest

from and_nnsight.dissection.curves import Curve
from and_nnsight.dissection.exemplars import Exemplar
from and_nnsight.explain.roles import Span
from and_nnsight.look.drawing import HEIGHT, WIDTH, CurveScale, bars_path, exemplar_drawing
from and_nnsight.look.exemplar_view import ExemplarView, curve_levels, exemplar_view
from and_nnsight.look.sounds import Sound


def curve(*frames: tuple[float, float, float]) -> Curve:
    start, stop, activation = (np.array(each, np.float32) for each in zip(*frames, strict=True))
    return Curve(start, stop, activation)


def exemplar(start: float | None = 0.5, end: float | None = 0.6) -> ExemplarView:
    return ExemplarView(0, "0", None, None, 1.0, "1.00", 1.0, start, end, (), Span(0), 2.0)


def sound(start: float = 0.0, seconds: float = 2.0) -> Sound:
    return Sound("s0", start, seconds, True, b"", b"")


def points(path: str) -> dict[int, int]:
    """Column → height at which the path leaves it."""
    heights: dict[int, int] = {}
    x = y = 0
    for command, numbers in re.findall(r"([MHV])([\d ]+)", path):
        values = [int(each) for each in numbers.split()]
        if command == "M":
            x, y = values
        elif command == "V":
            y = values[0]
        else:
            heights |= dict.fromkeys(range(x, values[0]), y)
            x = values[0]
    return heights


def test_each_column_has_the_highest_of_the_frames_in_it() -> None:
    levels = curve_levels(curve((0.0, 1.0, 1.0), (1.0, 2.0, 3.0), (0.4, 0.6, 2.0)), 0.0, 2.0, 20)
    assert levels.tolist() == [1.0] * 4 + [2.0] * 2 + [1.0] * 4 + [3.0] * 10


def test_a_frame_is_a_column_wide_where_columns_are_as_long() -> None:
    frames = [(at / 50, (at + 1) / 50, float(at)) for at in range(100)]
    assert curve_levels(curve(*frames), 0.0, 2.0, 100).tolist() == [float(at) for at in range(100)]


def test_what_is_not_known_is_left_open() -> None:
    levels = curve_levels(curve((0.0, 0.5, 1.0), (np.nan, np.nan, 9.0), (1.0, 1.5, np.nan)), 0.0, 2.0, 4)
    assert levels[0] == 1.0 and np.isnan(levels[1:]).all()


def test_a_stretch_of_a_clip_has_its_own_time() -> None:
    levels = curve_levels(curve((0.0, 5.0, 1.0), (5.0, 5.5, 7.0)), 4.0, 2.0, 4)
    assert levels[:3].tolist() == [1.0, 1.0, 7.0] and np.isnan(levels[3])


def test_the_line_is_where_the_activation_is() -> None:
    over = curve((0.0, 0.5, 0.0), (0.5, 0.6, 4.0), (0.6, 2.0, 1.0))
    drawing = exemplar_drawing(exemplar(), sound(), over, CurveScale.of([over], 4.0), mean=1.0)
    heights = points(drawing.line)
    assert sorted(heights) == list(range(WIDTH))
    top, floor = min(heights.values()), max(heights.values())
    assert {at for at, height in heights.items() if height == top} == set(range(50, 60))
    assert {at for at, height in heights.items() if height == floor} == set(range(50))
    assert heights[150] == drawing.average == pytest.approx(floor - (floor - top) / 4, abs=1)
    assert drawing.mark == (50.0, 10.0)
    assert drawing.area.endswith(f"V{HEIGHT}Z")


def test_a_gap_breaks_the_line() -> None:
    over = curve((0.0, 0.5, 1.0), (1.5, 2.0, 2.0))
    drawing = exemplar_drawing(exemplar(), sound(), over, CurveScale.of([over], 2.0), mean=0.0)
    assert drawing.line.count("M") == 2
    assert set(points(drawing.line)) == {*range(50), *range(150, 200)}


def test_all_pictures_of_a_unit_have_one_scale() -> None:
    low, high = curve((0.0, 1.0, -2.0)), curve((0.0, 1.0, 6.0))
    scale = CurveScale.of([low, high], 6.0)
    assert (scale.low, scale.high) == (-2.0, 6.0)
    assert scale.height(6.0) < scale.height(0.0) < scale.height(-2.0)
    assert 0 <= scale.height(99.0) == scale.height(6.0)


@pytest.mark.parametrize("flat", [0.0, -1.0, 5.0])
def test_a_flat_curve_can_be_drawn(flat: float) -> None:
    over = curve((0.0, 1.0, flat), (1.0, 2.0, flat))
    assert points(exemplar_drawing(exemplar(), sound(), over, CurveScale.of([over], flat), flat).line)


def test_one_frame_over_the_whole_clip_has_no_course_and_no_moment() -> None:
    """Class logits, and pooling by means: a line over the whole picture would only hide it."""
    whole = Exemplar(0, None, None, None, 1.0, -1, 0.0, 2.0)
    part = Exemplar(0, None, None, None, 1.0, 3, 0.5, 0.6)
    moments = [
        (view.start, view.end) for view in (exemplar_view(each, None, "0", 2, 2.0, Span(0)) for each in (whole, part))
    ]
    assert moments == [(None, None), (0.5, 0.6)]
    drawing = exemplar_drawing(exemplar(), sound(), curve((0.0, 2.0, 1.0)), CurveScale(0, 1), 0.0)
    assert (drawing.line, drawing.area) == ("", "")


def test_no_curve_and_no_moment() -> None:
    drawing = exemplar_drawing(exemplar(None, None), sound(), None, CurveScale.of([], 1.0), 0.0)
    assert (drawing.line, drawing.area, drawing.mark) == ("", "", None)


@pytest.mark.parametrize(("start", "end"), [(1.999, 2.0), (0.0, 0.0), (5.0, 6.0)])
def test_a_mark_stays_in_the_picture_and_can_be_seen(start: float, end: float) -> None:
    place, width = exemplar_drawing(exemplar(start, end), sound(), None, CurveScale(0, 1), 0.0).mark or (0, 0)
    assert width >= 1 and place >= 0 and place + width <= WIDTH


def test_bars_show_every_count_that_is_not_zero() -> None:
    path = bars_path([0, 1, 10_000], 30, 20)
    heights = [float(each) for each in re.findall(r"v-([\d.]+)", path)]
    assert heights == [1.0, 20.0]
    assert [float(each) for each in re.findall(r"M([\d.]+) ", path)] == [10.0, 20.0]
