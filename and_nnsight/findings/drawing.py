"""How figures look: print size, colours that the colour-blind tell apart, a marker and a line style of its own each.

Nothing here touches pyplot, whose figures are global state.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float64

from ..statistics.bootstrap import Estimate
from .libraries import needed_library

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, without the yellow that is faint in print.
BLACK, ORANGE, SKY, GREEN, BLUE, VERMILION, PURPLE = (
    "#000000", "#E69F00", "#56B4E9", "#009E73", "#0072B2", "#D55E00", "#CC79A7",
)  # fmt: skip
GREY = "#666666"
COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)
MARKERS = ("o", "s", "^", "D", "v", "P")
STYLES = ("-", "--", "-.", (0, (5, 1, 1, 1, 1, 1)), (0, (3, 1)), ":")
WIDTH = 6.5
"""Inches: the text width of a page."""
_MOST_TICKS = 16
_MOST_COUNTED = 8
_EDGE, _TITLE_INCHES, _LINE_INCHES = 0.04, 0.19, 0.155
_LINE_LETTERS = 116  # of 8 points that fit in the width

_STYLE: dict[str, Any] = {
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "legend.fontsize": 8,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.unicode_minus": True,
    "text.usetex": False,
    "pdf.fonttype": 42,  # text in a PDF stays text
    "savefig.dpi": 300,
    "figure.dpi": 100,
    "svg.fonttype": "none",
}


@contextmanager
def new_figure(height: float, rows: int = 1, columns: int = 1, **options: Any) -> Iterator[tuple[Figure, Any]]:
    """A figure of the page's width and so many inches of height, with its axes. Draw within the context.

    Raises PluginError, which says what to install, where there is no matplotlib.
    """
    matplotlib = needed_library("matplotlib")
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        yield figure, figure.subplots(rows, columns, **options)


def save(figure: Figure, path: Path, kind: str) -> None:
    """Write a figure, whole, nothing cut at its edges; the same figure gives the same bytes."""
    dates = {"pdf": {"CreationDate": None}, "png": {"Software": None}}
    with needed_library("matplotlib").rc_context(_STYLE):
        figure.savefig(path, format=kind, bbox_inches="tight", pad_inches=0.05, metadata=dates.get(kind))


def headed(figure: Figure, title: str, *lines: str) -> None:
    """A title at the figure's upper left, and smaller lines under it, broken at its width. What is drawn has the rest.

    (An axes' own title would push the axes aside where it is wider.)
    """
    small = [part for line in lines if line for part in textwrap.wrap(line, _LINE_LETTERS)]
    height = figure.get_size_inches()[1]
    figure.text(_EDGE / WIDTH, 1 - _EDGE / height, literal(title), fontsize=9.5, fontweight="bold", va="top")
    for place, line in enumerate(small):
        top = 1 - (_EDGE + _TITLE_INCHES + place * _LINE_INCHES) / height
        figure.text(_EDGE / WIDTH, top, literal(line), fontsize=8, color=GREY, va="top")
    top_share = (2 * _EDGE + _TITLE_INCHES + len(small) * _LINE_INCHES) / height
    engine: Any = figure.get_layout_engine()
    engine.set(rect=(0, 0, 1, 1 - top_share))


def layer_ticks(
    axes: Axes, layers: Sequence[int], counts: Sequence[int], others: Mapping[str, Sequence[int]] | None = None
) -> None:
    """A tick a layer, with how many units its value is of where there is room, else in the label.

    others  what else is counted, by its name, a number a layer; what is nowhere is not shown
    """
    step = -(-len(layers) // _MOST_TICKS)
    shown = list(layers)[::step]
    numbers = {"n =": counts}
    numbers |= {name: others_of_name for name, others_of_name in (others or {}).items() if any(others_of_name)}
    label = "Layer (index of the transformer block, from 0)"
    if (len(numbers) > 1 or len(set(counts)) > 1) and len(layers) <= _MOST_COUNTED:
        axes.set_xticks(shown, [_counted_tick(layers, numbers, place) for place in range(len(layers))])
    else:
        axes.set_xticks(shown, [str(layer) for layer in shown])
        label += "".join(f"; {name} {_between(each)} units each" for name, each in numbers.items())
    axes.set_xlabel(label)
    axes.set_xlim(layers[0] - 0.5, layers[-1] + 0.5)


def _counted_tick(layers: Sequence[int], numbers: Mapping[str, Sequence[int]], place: int) -> str:
    return "\n".join([str(layers[place]), *(f"{name} {each[place]:,}" for name, each in numbers.items())])


def _between(numbers: Sequence[int]) -> str:
    """The one number that all are, or the least and the most."""
    least, most = min(numbers), max(numbers)
    return f"{least:,}" if least == most else f"{least:,} to {most:,}"


def empty(axes: Axes, why: str) -> None:
    """An axes with nothing to show, which says so."""
    axes.text(0.5, 0.5, why, transform=axes.transAxes, ha="center", va="center", color=GREY, wrap=True)
    axes.set_xticks([])
    axes.set_yticks([])


def signed(value: float) -> str:
    """A number with its sign, as it is printed."""
    return f"{value:+.3g}".replace("-", "−")


def bounds(estimates: Sequence[Estimate]) -> Float64[np.ndarray, "2 estimate"]:
    """The low and the high ends of intervals; where there is none, the number itself is both."""
    return np.array(
        [
            [number.value if number.low is None else number.low for number in estimates],
            [number.value if number.high is None else number.high for number in estimates],
        ],
        np.float64,
    )


def literal(text: str) -> str:
    """Text from outside, so that nothing in it is read as mathematics."""
    return text.replace("$", r"\$")
