"""Accuracy with the units pruned that are rich in a type of word: the table, what it says, and its figure (Fig. 4)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from jaxtyping import Float64

from ..dissection.row_parts import UNPREFIXED
from ..dissection.table_row import TableRow
from ..statistics.bootstrap import Estimate
from ..wording import agree, counted
from .drawing import BLUE, GREY, VERMILION, bounds, headed, new_figure
from .finding import Finding
from .names import ACCURACY_BY_WORD_TYPE, BASIC, HIGH_LEVEL, LENGTH

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_KIND_OF_CLIPS = {
    "yes": "held-out clips",
    "no": "clips, some of which the units were found with",
    "unknown": "clips (it cannot be told whether the units were found with them)",
}
_PLURAL = {
    "adjective": "acoustic adjectives",
    "noun": "nouns",
    "verb": "verbs",
    "preposition": "prepositions",
    BASIC: "basic acoustic adjectives",
    HIGH_LEVEL: "high-level acoustic adjectives",
    LENGTH: "words of any kind (length)",
}


@dataclass(frozen=True)
class PruningResult:
    """Accuracy with units pruned, the mean over the draws, beside random units, as many at every site.

    accuracy, control   with 95 % bootstrap intervals over clips and draws (percentiles)
    difference          accuracy − control, with its 95 % interval, by how much one random choice differs from the mean
                        of the others: a random choice in place of the units excludes 0 once in 20 times
    random_low, random_high   95 % prediction interval of one random choice, by Student's t over the controls
    Bounds over draws are None where there was one draw.
    """

    accuracy: Estimate
    control: Estimate
    difference: Estimate
    random_low: float | None
    random_high: float | None


@dataclass(frozen=True)
class PruningRow(TableRow):
    """A type of word, and a share of the units.

    part           adjective (acoustic ones), basic adjective and high-level adjective (of acoustic ones: of features
                   such as loudness and pitch, and the others), noun, verb, preposition; length: words of any kind
    asked_share, units, share   the share that was asked for; how many units that is; the share that they are
    rich_units     units that have such a word at all: where they are fewer than `units`, nothing was measured
    words          distinct words of the type that a pruned unit has, on average (length: words)
    result         the accuracy, in columns of its own names (accuracy, accuracy_low …); None: nothing was measured
    """

    table: ClassVar[str] = ACCURACY_BY_WORD_TYPE
    key: ClassVar[tuple[str, ...]] = ("part", "asked_share")

    part: str
    asked_share: float
    units: int
    share: float
    rich_units: int
    words: float | None
    result: PruningResult | None = field(metadata=UNPREFIXED)


@dataclass(frozen=True)
class AccuracyByWordType(Finding):
    """Accuracy with units pruned, on clips that the units were not found with, by type of word and share.

    That units rich in a type of word matter more than random ones may be because they are explained at all, or at
    length: length is the control for it.
    """

    row = PruningRow
    table: list[PruningRow]

    def rows(self, part: str) -> list[PruningRow]:
        """The measured rows of one type of word, from the smallest share up."""
        return [row for row in self.table if row.part == part and row.result is not None]

    def _results(self, part: str) -> list[tuple[float, PruningResult]]:
        """Those shares of the units, each with what was measured."""
        return [(row.share, row.result) for row in self.rows(part) if row.result is not None]

    def summary(self) -> list[str]:
        """What was measured, and each type's accuracy against its controls' at the largest share measured."""
        lines = [self._setting(), *filter(None, [self.facts["left_out"]])]
        return [*lines, *(self._at_largest_share(part) for part in self.facts["parts"])]

    def _at_largest_share(self, part: str) -> str:
        results = self._results(part)
        if not results:
            rich = self._rich(part)
            have = f"only {counted(rich, 'unit')} {agree(rich, 'has', 'have')} one"
            return f"{_PLURAL[part]}: {have}, less than the smallest share"
        share, last = results[-1]
        value, low, high = last.difference
        between = "of one draw: no interval"
        if low is not None and high is not None:
            between = f"{100 * low:+.1f} to {100 * high:+.1f}"
        return (
            f"{_PLURAL[part]}, {100 * share:.3g} % pruned: {100 * last.accuracy.value:.1f} %, matched random "
            f"units {100 * last.control.value:.1f} %, difference {100 * value:+.1f} points ({between})"
        )

    def _rich(self, part: str) -> int:
        return next(row.rich_units for row in self.table if row.part == part)

    def _setting(self) -> str:
        facts = self.facts
        return (
            f"{facts['clips']:,} {_KIND_OF_CLIPS[facts['held_out']]}, "
            f"{100 * facts['baseline']:.1f} % right with nothing pruned ({100 * facts['commonest_class']:.1f} % if the "
            f"commonest class were always said); {counted(facts['units'], 'unit')}; means of "
            f"{counted(facts['draws'], 'draw')}"
        )

    def figure(self) -> Figure:
        """A panel a type of word: its units pruned, those with the longest explanations, and random ones matched by
        site; a flat line, where it is within the axis, is a guess."""
        parts = [part for part in self.facts["parts"] if part != LENGTH] or [LENGTH]
        columns = min(2, len(parts))
        rows = -(-len(parts) // columns)
        with new_figure(1.6 + 1.8 * rows, rows, columns, sharex=True, sharey=True, squeeze=False) as (figure, grid):
            lines = (self._setting(), self.facts["left_out"] or "")
            headed(figure, "Accuracy with units pruned, by type of word", *lines)
            for part, axes in zip(parts, grid.flat, strict=False):
                self._draw(axes, part)
            for axes in list(grid.flat)[len(parts) :]:
                axes.set_visible(False)
            for place, axes in enumerate(grid.flat):
                _name_axes(axes, first=place % columns == 0, last=place + columns >= len(parts))
            shown: dict[str, Any] = {}
            for axes in grid.flat:
                shown |= dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
            figure.legend(list(shown.values()), list(shown), loc="outside lower center", ncols=2, frameon=False)
        return figure

    def _lowest(self) -> float:
        """Where the axis begins: a little below whatever is drawn, in tens."""
        results = [row.result for row in self.table if row.result is not None]
        ends = [end for one in results for end in (one.accuracy.low, one.random_low) if end is not None]
        return max(-2.0, 10.0 * ((100 * min(ends, default=0.0) - 2) // 10))

    def _draw(self, axes: Axes, part: str) -> None:
        results = self._results(part)
        rich = self._rich(part)
        have = f"{counted(rich, 'unit')}, {100 * rich / self.facts['units']:.2g} %"
        axes.set_title(f"{_PLURAL[part].capitalize()} ({have})", loc="left", fontsize=8.5)
        if not results:
            axes.text(0.5, 0.04, "fewer than the smallest share", transform=axes.transAxes, ha="center", color=GREY)
        self._draw_random(axes, results)
        longest = self._results(LENGTH)
        if part != LENGTH and longest:
            axes.plot(
                _shares(longest), self._from_baseline(one.accuracy.value for _, one in longest), color=VERMILION,
                lw=1.0, marker="s", ms=3, mfc="white", linestyle="-.", label="units with the longest explanations",
            )  # fmt: skip
        self._draw_pruned(axes, results)
        lowest, guess = self._lowest(), 100 * self.facts["commonest_class"]
        if guess > lowest:
            axes.axhline(guess, color="black", lw=0.8, linestyle=":", label="always the commonest class")
        axes.set_ylim(lowest, 102)
        axes.set_xlim(-0.5, 100 * max(self.facts["shares"]) + 0.5)
        axes.grid(axis="y", lw=0.4, alpha=0.5)

    def _draw_random(self, axes: Axes, results: Sequence[tuple[float, PruningResult]]) -> None:
        least = [one.random_low for _, one in results if one.random_low is not None]
        most = [one.random_high for _, one in results if one.random_high is not None]
        if len(least) == len(most) == len(results):
            band = self._from_baseline(least), self._from_baseline(most)
            axes.fill_between(_shares(results), *band, color=GREY, alpha=0.25, lw=0)
        axes.plot(
            _shares(results), self._from_baseline(one.control.value for _, one in results), color=GREY, lw=1.2,
            linestyle="--", label="random units, as many at each site\n(band: 95 % of such choices)",
        )  # fmt: skip

    def _draw_pruned(self, axes: Axes, results: Sequence[tuple[float, PruningResult]]) -> None:
        values = [one.accuracy for _, one in results]
        baseline = Estimate(self.facts["baseline"], self.facts["baseline_low"], self.facts["baseline_high"])
        accuracy = self._from_baseline(value.value for value in values)
        axes.errorbar(
            _shares(results), accuracy, np.abs(100 * bounds([baseline, *values]) - accuracy), color=BLUE, marker="o",
            ms=4.5, lw=1.3, elinewidth=0.9, capsize=2,
            label="units with most such words\n(bar: 95 % interval over clips and draws)",
        )  # fmt: skip

    def _from_baseline(self, shares: Iterable[float]) -> Float64[np.ndarray, " point"]:
        """Shares in percent, behind the accuracy where nothing is pruned."""
        return 100 * np.array([self.facts["baseline"], *shares], np.float64)


def _shares(results: Sequence[tuple[float, PruningResult]]) -> list[float]:
    """The shares of units that are pruned, in percent, from none on."""
    return [0.0, *(100 * share for share, _ in results)]


def _name_axes(axes: Axes, *, first: bool, last: bool) -> None:
    """Labels at the first column of panels, and at the last row."""
    if first:
        axes.set_ylabel("Accuracy (%)")
    if last:
        axes.set_xlabel("Units pruned (% of all)")
        axes.tick_params(labelbottom=True)
