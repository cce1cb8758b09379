"""What pruning units rich in one type of word does to accuracy, against matched random units (the paper's Fig. 4)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..dissection import Dissection
from ..same_clips import KnownClips
from ..stream import Clip
from .bootstrap import RESAMPLES, Bootstrap
from .drawing import BLUE, GREY, headed, new_figure
from .finding import Finding, Row
from .rich_units import RichUnits, rich_units
from .units import PARTS, explained

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..unlearn import Outcomes, UnitChoice

SHARES = (0.02, 0.04, 0.06, 0.08, 0.10, 0.12)
"""Of all units: the paper's 2 to 12 %."""

_MEASURED = (
    *(f"{name}{end}" for name in ("accuracy", "control", "difference") for end in ("", "_low", "_high")),
    "control_least", "control_most",
)  # fmt: skip
_SAID_OF_CLIPS = {
    "yes": "held-out clips",
    "no": "clips, some of which the units were found with",
    "unknown": "clips (it cannot be told whether the units were found with them)",
}
_PLURAL = {"adjective": "acoustic adjectives", "noun": "nouns", "verb": "verbs", "preposition": "prepositions"}


@dataclass(frozen=True)
class AccuracyByWordType(Finding):
    """Accuracy with units pruned, on clips that the units were not found with. A row is a type of word and a share:

    part           adjective (acoustic ones), noun, verb or preposition
    asked_share, units, share   the share that was asked for; how many units that is; the share that they are
    rich_units     units that have such a word at all: where they are fewer than `units`, nothing was measured
    words          distinct words of the type that a pruned unit has, on average
    accuracy, control          mean over the draws; the controls are random units, as many at every site
    difference     accuracy − control
    *_low, *_high  95 % bootstrap intervals over clips and draws (percentiles)
    control_least, control_most   over the draws
    """

    name = "accuracy_by_word_type"

    def rows(self, part: str) -> list[Row]:
        """The measured rows of one type of word, from the smallest share up."""
        return [row for row in self.table if row["part"] == part and row["accuracy"] is not None]

    def summary(self) -> list[str]:
        """What was measured, and each type's accuracy against its controls' at the largest share measured."""
        said = [self._setting(), *filter(None, [self.facts["left_out"]])]
        for part in self.facts["parts"]:
            rows = self.rows(part)
            if not rows:
                said.append(f"{_PLURAL[part]}: only {self._rich(part):,} units have one, less than the smallest share")
                continue
            last = rows[-1]
            said.append(
                f"{_PLURAL[part]}, {100 * last['share']:.3g} % pruned: {100 * last['accuracy']:.1f} %, matched random "
                f"units {100 * last['control']:.1f} %, difference {100 * last['difference']:+.1f} points "
                f"({100 * last['difference_low']:+.1f} to {100 * last['difference_high']:+.1f})"
            )
        return said

    def _rich(self, part: str) -> int:
        return next(row["rich_units"] for row in self.table if row["part"] == part)

    def _setting(self) -> str:
        facts = self.facts
        return (
            f"{facts['clips']:,} {_SAID_OF_CLIPS[facts['held_out']]}, "
            f"{100 * facts['baseline']:.1f} % right with nothing pruned; {facts['units']:,} units; means of "
            f"{facts['draws']} draws"
        )

    def figure(self) -> Figure:
        """A panel a type of word: its units pruned, and random ones matched by site; the flat line is a guess."""
        parts = self.facts["parts"]
        columns = min(2, len(parts))
        rows = -(-len(parts) // columns)
        with new_figure(1.5 + 2.0 * rows, rows, columns, sharex=True, sharey=True, squeeze=False) as (figure, grid):
            lines = (self._setting(), self.facts["left_out"] or "")
            headed(figure, "Accuracy with units pruned, by type of word", *lines)
            for part, axes in zip(parts, grid.flat, strict=False):
                self._draw(axes, part)
            for axes in list(grid.flat)[len(parts) :]:
                axes.set_visible(False)
            for place, axes in enumerate(grid.flat):
                if place % columns == 0:
                    axes.set_ylabel("Accuracy (%)")
                if place + columns >= len(parts):
                    axes.set_xlabel("Units pruned (% of all)")
                    axes.tick_params(labelbottom=True)
            handles, labels = grid.flat[0].get_legend_handles_labels()
            figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False)
        return figure

    def _draw(self, axes: Axes, part: str) -> None:
        rows, baseline = self.rows(part), 100 * self.facts["baseline"]
        rich = self._rich(part)
        have = f"{rich:,} units, {100 * rich / self.facts['units']:.2g} %, have one"
        axes.set_title(f"{_PLURAL[part].capitalize()} ({have})", loc="left", fontsize=8.5)
        if not rows:
            axes.text(0.5, 0.5, "fewer than the\nsmallest share", transform=axes.transAxes, ha="center", color=GREY)
        shares = [0.0, *(100 * row["share"] for row in rows)]
        control = [baseline, *(100 * row["control"] for row in rows)]
        least, most = ([baseline, *(100 * row[f"control_{end}"] for row in rows)] for end in ("least", "most"))
        accuracy = [baseline, *(100 * row["accuracy"] for row in rows)]
        ends = np.array(
            [
                [100 * self.facts[f"baseline_{end}"], *(100 * row[f"accuracy_{end}"] for row in rows)]
                for end in ("low", "high")
            ]
        )
        axes.fill_between(shares, least, most, color=GREY, alpha=0.25, lw=0)
        axes.plot(
            shares,
            control,
            color=GREY,
            lw=1.2,
            linestyle="--",
            label="random units, as many at each site (band: draws)",
        )
        axes.errorbar(
            shares, accuracy, np.abs(ends - np.array(accuracy)), color=BLUE, marker="o", ms=4.5, lw=1.3,
            elinewidth=0.9, capsize=2, label="units with most such words (bar: 95 % interval)",
        )  # fmt: skip
        axes.axhline(
            100 * self.facts["commonest_class"],
            color="black",
            lw=0.8,
            linestyle=":",
            label="always the commonest class",
        )
        axes.set_ylim(-2, 102)
        axes.set_xlim(-0.5, 100 * max(self.facts["shares"]) + 0.5)
        axes.grid(axis="y", lw=0.4, alpha=0.5)


def accuracy_by_word_type(
    found: Dissection,
    model: Any,
    data: Any,
    *,
    shares: Sequence[float] = SHARES,
    parts: Sequence[str] = PARTS,
    draws: int = 5,
    how: str = "zero",
    sites: str | Iterable[str] | None = None,
    seed: int = 0,
    dissected_too: bool = False,
    keep: Callable[[Clip], bool] | None = None,
    split: str | None = None,
    audio_column: str = "audio",
    label_column: str | None = None,
    limit: int | None = None,
    batch_size: int = 16,
    device: Any = None,
    dtype: Any = None,
    num_workers: int = 0,
    progress: bool = True,
) -> AccuracyByWordType:
    """Prune the units whose explanations are richest in one type of word, more and more, and measure accuracy.

    found       a dissection of the model that has been explained
    model       the model that was dissected, with a classifier: what `AudioModel` takes, or an AudioModel
    data        labelled clips, as `dissect` takes them; clips of the dissection are left out, since the units were
                found with them, unless `dissected_too`. They are known by their samples or paths: `facts["held_out"]`
                is "unknown" where clips have neither
    shares      of all units of the sites, between 0 and 1
    parts       types of words: adjective (acoustic ones only), noun, verb, preposition
    draws       how often units are chosen: units with equally many words are taken in random order. Each choice has a
                control of its own, random units, as many at each site
    how         what becomes of a pruned unit: see `unlearn.ablated_outcomes`
    sites       names or globs; None: all in blocks, but each neuron once (see `units.chosen_sites`)
    keep        which clips are measured, of those that are left

    Where fewer units have such a word than a share asks for, nothing is measured: the row says so. Everything is
    measured in one pass over the data; nothing in the model is changed. Raises DissectionError, which names the command
    to run, if the dissection has not been explained; ValueError for impossible numbers, and if no clip is left.
    """
    from ..unlearn import ablated_outcomes

    parts, shares = tuple(dict.fromkeys(parts)), sorted({float(share) for share in shares})
    _check(shares, parts, draws)
    said = explained(found, sites, in_blocks=True)
    plan = [one for part in parts for one in rich_units(found, said, part, shares, draws, seed)]
    places: dict[UnitChoice, int] = {}
    for choice in (choice for one in plan for pair in one.pairs for choice in pair):
        places.setdefault(choice, len(places))  # nothing is measured twice
    held_out = _HeldOut(found, dissected_too, keep)
    try:
        outcomes = ablated_outcomes(
            model, data, list(places), how=how, seed=seed, split=split, audio_column=audio_column,
            label_column=label_column, limit=limit, keep=held_out, batch_size=batch_size, device=device, dtype=dtype,
            num_workers=num_workers, progress=progress,
        )  # fmt: skip
    except ValueError as error:
        if held_out.refused and not held_out.let_in:
            raise ValueError(
                f"all {held_out.refused:,} clips are among those that the units were found with: give clips that were "
                f"not dissected, or dissected_too=True, --dissected-too ({error})"
            ) from error
        raise
    bootstrap = Bootstrap(len(outcomes.clips), draws, seed)
    rows = [_row(one, said.chosen.units, places, outcomes, bootstrap) for one in plan]
    baseline_low, baseline_high = bootstrap.interval(outcomes.baseline.correct[None].astype(np.float64))
    facts = {
        **said.facts(),
        "model": str(model) if isinstance(model, str | Path) else type(model).__name__,
        "parts": list(parts),
        "shares": shares,
        "draws": draws,
        "how": how,
        "seed": seed,
        "clips": len(outcomes.clips),
        "held_out": "no" if dissected_too else "yes" if held_out.certain else "unknown",
        "left_out_as_dissected": held_out.refused,
        "left_out_of_the_data": dict(outcomes.left_out),
        "classes": len(outcomes.classes),
        "baseline": outcomes.accuracy(),
        "baseline_low": baseline_low,
        "baseline_high": baseline_high,
        "commonest_class": float(np.bincount(outcomes.labels).max() / len(outcomes.labels)),
        "intervals": f"95 %, percentiles of {RESAMPLES:,} bootstrap samples of clips and of draws",
    }
    return AccuracyByWordType(rows, facts)


def _check(shares: Sequence[float], parts: Sequence[str], draws: int) -> None:
    if not shares or not all(0 < share < 1 for share in shares):
        raise ValueError(f"shares are of all units, between 0 and 1, not {list(shares)}")
    if not parts or not set(parts) <= set(PARTS):
        raise ValueError(f"types of words are {', '.join(PARTS)}, not {', '.join(parts) or 'none'}")
    if draws < 1:
        raise ValueError(f"draws must be at least 1, it is {draws}")


class _HeldOut:
    """Lets in the clips that the units were not found with (see `same_clips`), and counts."""

    def __init__(self, found: Dissection, dissected_too: bool, keep: Callable[[Clip], bool] | None) -> None:
        self._known = None if dissected_too else KnownClips(found)
        self._keep = keep
        self.refused = self.let_in = 0
        self.certain = self._known is None or self._known.tell

    def __call__(self, clip: Clip) -> bool:
        if self._known is not None and self._known.has(clip.id, clip.path, clip.content, None):
            self.refused += 1
            return False
        self.let_in += 1
        self.certain &= bool(clip.path or clip.content)
        return self._keep is None or self._keep(clip)


def _row(one: RichUnits, units: int, places: Mapping[UnitChoice, int], outcomes: Outcomes, bootstrap: Bootstrap) -> Row:
    row: Row = {
        "part": one.part,
        "asked_share": one.asked,
        "units": one.units,
        "share": one.units / units,
        "rich_units": one.rich,
        "words": one.words,
    }
    if not one.pairs:
        return row | dict.fromkeys(_MEASURED)
    accuracy, control = (
        outcomes.ablated.correct[[places[pair[side]] for pair in one.pairs]].astype(np.float64) for side in (0, 1)
    )
    for name, right in (("accuracy", accuracy), ("control", control), ("difference", accuracy - control)):
        low, high = bootstrap.interval(right)
        row |= {name: float(right.mean()), f"{name}_low": low, f"{name}_high": high}
    draws = control.mean(1)
    return row | {"control_least": float(draws.min()), "control_most": float(draws.max())}
