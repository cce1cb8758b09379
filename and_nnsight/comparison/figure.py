"""The figure of a comparison: by site, how the units of either stand; and which labels units of either answer to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..findings.drawing import BLUE, GREY, ORANGE, SKY, VERMILION, empty, headed, literal, new_figure
from ..redaction import without_control_characters
from .rows import (
    ALONE,
    CLIPS,
    FIRST,
    GAINED,
    LOST,
    MATCHED,
    SECOND,
    SHARED,
    UNDECIDED,
    UNTESTED,
    ComparedConceptRow,
    ComparedSiteRow,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = {MATCHED: BLUE, SHARED: SKY, UNDECIDED: "#DDDDDD", ALONE: VERMILION, UNTESTED: "#F4F4F4"}
_MOST_LABELS, _MOST_SITES = 16, 24
_LONGEST = 34
_UNITS = "units whose clips share this label (q ≤ 0.05); in brackets: changes that other clips do not undo"


def draw(
    sites: Sequence[ComparedSiteRow],
    concepts: Sequence[ComparedConceptRow],
    names: Mapping[str, str],
    texts: Sequence[str],
) -> Figure:
    """Bars of 100 % a site of either dissection; below, the labels that most units answer to, with both counts.

    names  of the sides
    texts  lines above
    """
    labels = _labels(concepts)
    rows = {side: [row for row in sites if row.side == side][:_MOST_SITES] for side in names}
    most = max(map(len, rows.values()))
    height = 1.9 + 0.24 * (most + 1) + 0.2 * (len(labels) + 2)
    ratios = {"height_ratios": [most + 1.5, max(len(labels), 2) + 1.5]}
    with new_figure(height, 2, 2, gridspec_kw=ratios) as (figure, axes):
        headed(figure, "Units of two dissections over the same clips", *texts)
        for each, side in zip(axes[0], names, strict=True):
            _draw_sites(each, rows[side], names[side])
        below = axes[1][0].get_gridspec()
        for each in axes[1]:
            each.remove()
        _draw_labels(figure.add_subplot(below[1, :]), labels)
        handles, of_handles = axes[0][0].get_legend_handles_labels()
        figure.legend(handles, of_handles, loc="outside lower center", ncols=5, frameon=False)
    return figure


def _labels(concepts: Sequence[ComparedConceptRow]) -> list[ComparedConceptRow]:
    """The labels that are shown: those lost and gained, then those that most units answer to."""
    counts = {row: (row.first_hold or 0) + (row.second_hold or 0) for row in concepts if row.source == CLIPS}
    there = [row for row, count in counts.items() if count]
    there.sort(key=lambda row: (row.change not in (LOST, GAINED), -counts[row]))
    return there[:_MOST_LABELS]


def _draw_sites(axes: Axes, rows: Sequence[ComparedSiteRow], name: str) -> None:
    left = np.zeros(len(rows))
    for standing, colour in _COLOURS.items():
        share = np.array([100 * getattr(row, standing) / max(1, row.units) for row in rows])
        label = "alone (lost, gained)" if standing == ALONE else standing
        axes.barh(range(len(rows)), share, left=left, color=colour, label=label, height=0.72, edgecolor="white", lw=0.4)
        left += share
    axes.set_yticks(range(len(rows)), [_short(row.site) for row in rows])
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.set_xlabel("% of the site's units")
    axes.set_title(_short(name))


def _draw_labels(axes: Axes, labels: Sequence[ComparedConceptRow]) -> None:
    if not labels:
        empty(axes, "no unit's clips share a label beyond chance")
        return
    places = np.arange(len(labels))
    counts = [[row.first_hold or 0 for row in labels], [row.second_hold or 0 for row in labels]]
    for of_side, aside, colour, name in zip(counts, (-0.2, 0.2), (GREY, ORANGE), (FIRST, SECOND), strict=True):
        axes.barh(places + aside, of_side, height=0.38, color=colour, label=name)
    names = [f"{_short(row.concept)}{f' ({row.change})' if row.change else ''}" for row in labels]
    axes.set_yticks(places, names)
    axes.invert_yaxis()
    axes.set_xlabel(_UNITS, color=GREY)
    axes.legend(frameon=False)


def _short(text: str) -> str:
    text = without_control_characters(text)
    return literal(text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…")
