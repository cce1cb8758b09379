"""How many acoustic adjectives the explanation of a unit has, by layer (the paper's Fig. 5)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from jaxtyping import Bool

from ..dissection.dissection import Dissection
from ..dissection.row_parts import UNPREFIXED
from ..dissection.table_row import TableRow
from ..statistics.bootstrap import Estimate
from ..wording import counted
from .drawing import BLACK, COLOURS, MARKERS, STYLES, bounds, empty, headed, layer_ticks, literal, new_figure, signed
from .explanations import Explanations, read_explanations, summary_counts
from .finding import Finding
from .names import ADJECTIVES_PER_LAYER
from .statistics import Line, line_through, mean_of, p_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ALL = "all sites"
SUMMARISED, EVERY, TRUE = "units with a summary", "every unit", "units whose explanation holds"
FULL = "units with a summary of all k clips"
_SIDESTEP, _WIDEST_STEP = 0.015, 0.14  # of all layers, of one: intervals of several sites do not hide each other


@dataclass(frozen=True)
class LayerRow(TableRow):
    """A layer of one kind of site, or of all.

    site, layer        `mlp.hook_pre`, or "all sites"; index of the block
    units, with_summary, of_fewer_clips, nothing_left, no_summary, never_explained   how many
    mean, low, high    over the units with a summary (with 95 % interval by Student's t)
    mean_of_every_unit units without a summary counted as having no adjective
    hold, mean_of_those   units whose explanation holds on held-out clips (where they were scored), and their mean
    """

    table: ClassVar[str] = ADJECTIVES_PER_LAYER
    key: ClassVar[tuple[str, ...]] = ("site", "layer")

    site: str
    layer: int
    units: int
    with_summary: int
    of_fewer_clips: int
    nothing_left: int
    no_summary: int
    never_explained: int
    mean: float | None
    low: float | None
    high: float | None
    mean_of_every_unit: float | None
    hold: int
    mean_of_those: float | None

    @property
    def estimate(self) -> Estimate | None:
        """The mean with its interval."""
        return None if self.mean is None else Estimate(self.mean, self.low, self.high)


@dataclass(frozen=True)
class LineRow(TableRow):
    """A line by ordinary least squares over units: of which kind of site, or of all, and over which of their units."""

    table: ClassVar[str] = f"{ADJECTIVES_PER_LAYER}_lines"
    key: ClassVar[tuple[str, ...]] = ("site", "over")

    site: str
    over: str
    line: Line = field(metadata=UNPREFIXED)


@dataclass(frozen=True)
class AdjectivesPerLayer(Finding):
    """Mean number of distinct acoustic adjectives a unit, by layer.

    lines   for every kind of site and for all, over: the units with a summary; those that have it of all k clips, where
            others have it of fewer, because fewer are evidence; every unit that was asked about; and those whose
            explanation holds, where they were scored
    """

    row = LayerRow
    table: list[LayerRow]
    lines: list[LineRow] = field(default_factory=list)

    @property
    def tables(self) -> dict[type[TableRow], Sequence[TableRow]]:
        """The layers, and the lines through them."""
        return {LayerRow: self.table, LineRow: self.lines}

    def line(self, site: str = ALL, over: str = SUMMARISED) -> Line | None:
        """The line through the units of one kind of site, or of all; None where there is none."""
        return next((row.line for row in self.lines if (row.site, row.over) == (site, over)), None)

    def summary(self) -> list[str]:
        """How many units have a summary, and the line over those and over every unit."""
        lines = [summary_counts(self.facts), *filter(None, [self.facts["left_out"]])]
        more = ((FULL,) if self.facts["of_fewer_clips"] else ()) + ((TRUE,) if self.facts["scored"] else ())
        for over in (SUMMARISED, EVERY, *more):
            line = self.line(over=over)
            text = "; ".join(line_texts(line)) if line else "too few layers or units for a line"
            lines.append(f"{over}: {text}")
        return lines

    def figure(self) -> Figure:
        """Means with their intervals by layer, of every kind of site and of all; the line through all those units."""
        shown = self._means(ALL)
        line, outside = self.line(), self.facts["outside_layers"]
        with new_figure(4.0) as (figure, axes):
            headed(
                figure,
                "Acoustic adjectives in a unit's explanation, by layer",
                summary_counts(self.facts),
                self.facts["left_out"] or "",
                f"units outside the blocks, not shown: {outside:,}" if outside else "",
                *(line_texts(line) if line else ()),
            )
            if not shown:
                empty(axes, "no unit of any layer has a summary")
                return figure
            kinds = list(dict.fromkeys(row.site for row in self.table))[:-1]
            _points(
                axes, shown, 0.0, ALL if len(kinds) > 1 else literal(kinds[0]), color=BLACK, marker="*", ms=8,
                linestyle="none", elinewidth=1.2, zorder=4,
            )  # fmt: skip
            if line:
                _draw_line(axes, line, list(shown))
            if len(kinds) > 1:
                self._draw_kinds(axes, kinds, min(_SIDESTEP * len(shown), _WIDEST_STEP))
            layer_ticks(axes, list(shown), [row.with_summary for row in self._layers(ALL)])
            axes.set_ylabel("Acoustic adjectives per unit\n(mean, 95 % interval)")
            axes.set_ylim(0, axes.get_ylim()[1])
            axes.grid(axis="y", lw=0.4, alpha=0.5)
            figure.legend(loc="outside lower center", ncols=min(3, len(kinds) + 2), frameon=False)
        return figure

    def _layers(self, site: str) -> list[LayerRow]:
        """The layers of a kind of site, or of all, in which a unit has a summary."""
        return [row for row in self.table if row.site == site and row.with_summary]

    def _means(self, site: str) -> dict[int, Estimate]:
        """The means of those layers."""
        means = {row.layer: row.estimate for row in self._layers(site)}
        return {layer: mean for layer, mean in means.items() if mean is not None}

    def _draw_kinds(self, axes: Axes, kinds: list[str], step: float) -> None:
        """The means of every kind of site, side by side."""
        for place, kind in enumerate(kinds):
            _points(
                axes, self._means(kind), (place - (len(kinds) - 1) / 2) * step, literal(kind),
                color=COLOURS[place % len(COLOURS)], marker=MARKERS[place % len(MARKERS)], ms=4.5, lw=0.9,
                linestyle=STYLES[place % len(STYLES)], elinewidth=0.8, mfc="white",
            )  # fmt: skip


def _draw_line(axes: Axes, line: Line, layers: Sequence[int]) -> None:
    ends = np.array([layers[0], layers[-1]])
    label = f"least squares over {counted(line.units, 'unit')}"
    axes.plot(ends, line.intercept + line.slope * ends, color=BLACK, lw=1.4, zorder=3, label=label)


def _points(axes: Axes, means: Mapping[int, Estimate], aside: float, label: str, **look: Any) -> None:
    """Means by layer, with error bars; none where there are no intervals."""
    values = np.array([mean.value for mean in means.values()])
    errors = np.abs(bounds(list(means.values())) - values)
    axes.errorbar([layer + aside for layer in means], values, errors, capsize=2, label=label, **look)


def line_texts(line: Line) -> tuple[str, str]:
    """A line in words: its slope with p by permutation, which is of layers; and what the t test over units says."""
    orders = f"all {line.arrangements:,}" if line.exact else f"{line.arrangements:,} random"
    return (
        f"slope {signed(line.slope)} adjectives a layer; {p_text(line.p_layers)} by permutation of the "
        f"{line.layers} layers ({orders} orders; it cannot be below {line.least_p_layers:.2g})",
        f"t test, as if units of a layer were independent: {p_text(line.p_units)}, 95 % interval of the slope "
        f"{signed(line.low)} to {signed(line.high)}",
    )


def adjectives_per_layer(
    dissection: Dissection, *, sites: str | Iterable[str] | None = None, seed: int = 0
) -> AdjectivesPerLayer:
    """Average the number of distinct acoustic adjectives of units by layer, and lay a line through them.

    dissection  a dissection that has been explained
    sites   names or globs; None: all, but each neuron once (see `site_selection.select_sites`)
    seed    of the orders of layers that the permutation test draws where there are more than 8 layers

    Units outside the blocks (a classifier's head) are counted in `facts["outside_layers"]` and are in no row. Raises
    DissectionError, which names the command to run, if the dissection has not been explained.
    """
    explanations = read_explanations(dissection, sites)
    layers, kinds = explanations.selection.layer_of_unit, explanations.selection.kind_of_unit
    inside = layers >= 0
    groups = {kind: inside & (kinds == kind) for kind in dict.fromkeys(explanations.selection.kinds)}
    groups = {kind: among for kind, among in groups.items() if among.any()} | {ALL: inside}
    rows = [
        _row(explanations, kind, int(layer), among & (layers == layer))
        for kind, among in groups.items()
        for layer in np.unique(layers[among])
    ]
    lines = [row for kind, among in groups.items() for row in _lines(explanations, kind, among, seed)]
    facts = {**explanations.facts(), "outside_layers": int((~inside).sum()), "seed": seed}
    return AdjectivesPerLayer(rows, facts, lines)


def _lines(explanations: Explanations, kind: str, among: Bool[np.ndarray, " unit"], seed: int) -> Iterator[LineRow]:
    """The lines through some units: all with a summary, and what may be counted instead."""
    summarised = explanations.summarised
    over_units = {SUMMARISED: summarised, EVERY: explanations.status > 0, TRUE: explanations.holds == 1}
    if (explanations.fewer & summarised).any():
        over_units[FULL] = summarised & ~explanations.fewer
    for over, units_of_line in over_units.items():
        units = among & units_of_line
        adjectives = explanations.words["adjective"][units]
        line = line_through(explanations.selection.layer_of_unit[units], adjectives, seed)
        if line is not None:
            yield LineRow(kind, over, line)


def _row(explanations: Explanations, kind: str, layer: int, among: Bool[np.ndarray, " unit"]) -> LayerRow:
    adjectives = explanations.words["adjective"]
    mean = mean_of(adjectives[among & explanations.summarised])
    every, true = adjectives[among & (explanations.status > 0)], adjectives[among & (explanations.holds == 1)]
    return LayerRow(
        site=kind,
        layer=layer,
        **explanations.counts(among),
        mean=mean.mean,
        low=mean.low,
        high=mean.high,
        mean_of_every_unit=float(every.mean()) if len(every) else None,
        hold=len(true),
        mean_of_those=float(true.mean()) if len(true) else None,
    )
