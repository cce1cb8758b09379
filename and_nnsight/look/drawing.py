"""Small drawings as SVG paths: a curve over a spectrogram, the bars of a histogram. Numbers go in, numbers come out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Float32

from ..dissection.curves import Curve
from .exemplar_view import ExemplarView, curve_levels
from .sounds import Sound

WIDTH, HEIGHT = 200, 64
"""Of the box in which curves are drawn, whatever size it is shown at."""

_TOP, _FLOOR = 3, 61


@dataclass(frozen=True)
class CurveScale:
    """The activations at the floor and at the top of all drawings of one unit, so that they can be compared."""

    low: float
    high: float

    @classmethod
    def of(cls, curves: Sequence[Curve], peak: float) -> CurveScale:
        """From the lowest of the curves, or 0 where that is below, to the highest, or `peak`."""
        values = [curve.activation[np.isfinite(curve.activation)] for curve in curves]
        every = np.concatenate([*values, np.array([0.0, peak], np.float32)])
        low, high = float(every.min()), float(every.max())
        return cls(low, high if high > low else low + 1.0)

    def height(self, activation: float) -> int:
        """Where an activation is drawn, from the upper edge."""
        share = (activation - self.low) / (self.high - self.low)
        return round(_FLOOR - min(max(share, 0.0), 1.0) * (_FLOOR - _TOP))


@dataclass(frozen=True)
class ExemplarDrawing:
    """What is drawn over an exemplar's spectrogram; x goes from 0 to `WIDTH`, y from 0 (above) to `HEIGHT`.

    line, area   the activation over time, and what lies below it; "" where it is not known
    mark         x and width of the frame that made it an exemplar; None where its time is not known
    average      y of the activation that clips have on average
    """

    line: str
    area: str
    mark: tuple[float, float] | None
    average: int


def exemplar_drawing(
    exemplar: ExemplarView, sound: Sound, curve: Curve | None, scale: CurveScale, mean: float
) -> ExemplarDrawing:
    """Of an exemplar and the stretch of its clip that is shown."""
    line = area = ""
    if curve is not None and len(curve) > 1:  # one frame has no course
        levels = curve_levels(curve, sound.start, sound.seconds, WIDTH)
        runs = list(_runs(levels, scale))
        line = "".join(f"M{begin} {heights[0]}{_steps(begin, heights)}" for begin, heights in runs)
        area = "".join(f"M{begin} {HEIGHT}V{heights[0]}{_steps(begin, heights)}V{HEIGHT}Z" for begin, heights in runs)
    return ExemplarDrawing(line, area, _mark(exemplar, sound), scale.height(mean))


def bars_path(bars: Sequence[int], width: float, height: float) -> str:
    """Bars from the floor up, the tallest as high as the box; those that are not empty can be seen."""
    tallest, step = max([*bars, 1]), width / max(1, len(bars))
    parts = []
    for place, count in enumerate(bars):
        if count:
            tall = max(1.0, height * (count / tallest) ** 0.5)
            parts.append(f"M{place * step:.2f} {height:g}v{-tall:.2f}h{step * 0.85:.2f}v{tall:.2f}z")
    return "".join(parts)


def _runs(levels: Float32[np.ndarray, " column"], scale: CurveScale) -> Iterator[tuple[int, list[int]]]:
    """Stretches of columns of which the activation is known: where each begins, and its heights."""
    begin, heights = 0, list[int]()
    for column, level in enumerate(levels.tolist()):
        if level == level:
            begin = begin if heights else column
            heights.append(scale.height(level))
        elif heights:
            yield begin, heights
            heights = []
    if heights:
        yield begin, heights


def _steps(begin: int, heights: Sequence[int]) -> str:
    """A path from the first height on, a step wherever the height changes."""
    parts = []
    for column, (before, height) in enumerate(pairwise(heights), begin + 1):
        if height != before:
            parts.append(f"H{column}V{height}")
    return "".join([*parts, f"H{begin + len(heights)}"])


def _mark(exemplar: ExemplarView, sound: Sound) -> tuple[float, float] | None:
    if exemplar.start is None or exemplar.end is None:
        return None
    begin, end = ((at - sound.start) / sound.seconds * WIDTH for at in (exemplar.start, exemplar.end))
    begin, end = max(0.0, min(begin, WIDTH)), max(0.0, min(end, WIDTH))
    width = max(end - begin, 1.0)
    return round(min(begin, WIDTH - width), 1), round(width, 1)
