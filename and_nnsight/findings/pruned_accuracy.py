"""Accuracy with the units pruned that are rich in a type of word: the table, what it says, and its figure (Fig. 4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..wording import agree, counted
from .drawing import BLUE, GREY, VERMILION, headed, new_figure
from .explanations import BASIC, HIGH_LEVEL, LENGTH
from .finding import Finding, Row

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
class AccuracyByWordType(Finding):
    """Accuracy with units pruned, on clips that the units were not found with. A row is a type of word and a share:

    part           adjective (acoustic ones), basic adjective and high-level adjective (of acoustic ones: of features
                   such as loudness and pitch, and the others), noun, verb, preposition; length: words of any kind
    asked_share, units, share   the share that was asked for; how many units that is; the share that they are
    rich_units     units that have such a word at all: where they are fewer than `units`, nothing was measured
    words          distinct words of the type that a pruned unit has, on average (length: words)
    accuracy, control          mean over the draws; the controls are random units, as many at every site
    accuracy_low, control_low, … _high   95 % bootstrap intervals over clips and draws (percentiles)
    random_low, random_high    95 % prediction interval of one random choice, by Student's t over the controls
    difference     accuracy − control
    difference_low, difference_high   its 95 % interval, by how much one random choice differs from the mean of the
                   others: a random choice in place of the units excludes 0 once in 20 times
    Those over draws are None where there was one draw.

    That units rich in a type of word matter more than random ones may be because they are explained at all, or at
    length: length is the control for it.
    """

    name = "accuracy_by_word_type"

    def rows(self, part: str) -> list[Row]:
        """The measured rows of one type of word, from the smallest share up."""
        return [row for row in self.table if row["part"] == part and row["accuracy"] is not None]

    def summary(self) -> list[str]:
        """What was measured, and each type's accuracy against its controls' at the largest share measured."""
        lines = [self._setting(), *filter(None, [self.facts["left_out"]])]
        for part in self.facts["parts"]:
            rows = self.rows(part)
            if not rows:
                rich = self._rich(part)
                have = f"only {counted(rich, 'unit')} {agree(rich, 'has', 'have')} one"
                lines.append(f"{_PLURAL[part]}: {have}, less than the smallest share")
                continue
            last = rows[-1]
            between = "of one draw: no interval"
            if last["difference_low"] is not None:
                between = f"{100 * last['difference_low']:+.1f} to {100 * last['difference_high']:+.1f}"
            lines.append(
                f"{_PLURAL[part]}, {100 * last['share']:.3g} % pruned: {100 * last['accuracy']:.1f} %, matched random "
                f"units {100 * last['control']:.1f} %, difference {100 * last['difference']:+.1f} points ({between})"
            )
        return lines

    def _rich(self, part: str) -> int:
        return next(row["rich_units"] for row in self.table if row["part"] == part)

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
        ends = [row[name] for row in self.table for name in ("accuracy_low", "random_low") if row[name] is not None]
        return max(-2.0, 10.0 * ((100 * min(ends, default=0.0) - 2) // 10))

    def _draw(self, axes: Axes, part: str) -> None:
        rows = self.rows(part)
        rich = self._rich(part)
        have = f"{counted(rich, 'unit')}, {100 * rich / self.facts['units']:.2g} %"
        axes.set_title(f"{_PLURAL[part].capitalize()} ({have})", loc="left", fontsize=8.5)
        if not rows:
            axes.text(0.5, 0.04, "fewer than the smallest share", transform=axes.transAxes, ha="center", color=GREY)
        self._draw_random(axes, rows)
        longest = self.rows(LENGTH)
        if part != LENGTH and longest:
            axes.plot(
                _shares(longest), self._from_baseline(longest, "accuracy"), color=VERMILION, lw=1.0, marker="s", ms=3,
                mfc="white", linestyle="-.", label="units with the longest explanations",
            )  # fmt: skip
        self._draw_pruned(axes, rows)
        lowest, guess = self._lowest(), 100 * self.facts["commonest_class"]
        if guess > lowest:
            axes.axhline(guess, color="black", lw=0.8, linestyle=":", label="always the commonest class")
        axes.set_ylim(lowest, 102)
        axes.set_xlim(-0.5, 100 * max(self.facts["shares"]) + 0.5)
        axes.grid(axis="y", lw=0.4, alpha=0.5)

    def _draw_random(self, axes: Axes, rows: list[Row]) -> None:
        if all(row["random_low"] is not None for row in rows):
            least, most = self._from_baseline(rows, "random_low"), self._from_baseline(rows, "random_high")
            axes.fill_between(_shares(rows), least, most, color=GREY, alpha=0.25, lw=0)
        axes.plot(
            _shares(rows), self._from_baseline(rows, "control"), color=GREY, lw=1.2, linestyle="--",
            label="random units, as many at each site\n(band: 95 % of such choices)",
        )  # fmt: skip

    def _draw_pruned(self, axes: Axes, rows: list[Row]) -> None:
        accuracy = self._from_baseline(rows, "accuracy")
        ends = [
            [100 * self.facts[f"baseline_{end}"], *(100 * row[f"accuracy_{end}"] for row in rows)]
            for end in ("low", "high")
        ]
        axes.errorbar(
            _shares(rows), accuracy, np.abs(np.array(ends) - np.array(accuracy)), color=BLUE, marker="o", ms=4.5,
            lw=1.3, elinewidth=0.9, capsize=2,
            label="units with most such words\n(bar: 95 % interval over clips and draws)",
        )  # fmt: skip

    def _from_baseline(self, rows: list[Row], name: str) -> list[float]:
        """A column in percent, behind what it is where nothing is pruned."""
        return [100 * self.facts["baseline"], *(100 * row[name] for row in rows)]


def _shares(rows: list[Row]) -> list[float]:
    """The shares of units that are pruned, in percent, from none on."""
    return [0.0, *(100 * row["share"] for row in rows)]


def _name_axes(axes: Axes, *, first: bool, last: bool) -> None:
    """Labels at the first column of panels, and at the last row."""
    if first:
        axes.set_ylabel("Accuracy (%)")
    if last:
        axes.set_xlabel("Units pruned (% of all)")
        axes.tick_params(labelbottom=True)
