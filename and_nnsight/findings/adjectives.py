"""How many units have each acoustic adjective in their explanation (the paper's Fig. 3)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ..dissection.dissection import Dissection
from ..dissection.table_row import TableRow
from ..explain.describe.concepts import concepts_in, names_in
from ..explain.records.captions import captions_of
from ..explain.records.reading import has_table
from ..explain.text.sentences import idea, sentences
from ..explain.text.tagging import tag
from ..statistics.bootstrap import Estimate
from .drawing import BLUE, SKY, VERMILION, bounds, empty, headed, literal, new_figure
from .exemplar_captions import every_caption
from .explanations import read_explanations, summary_counts
from .finding import Finding
from .names import UNITS_PER_ADJECTIVE
from .statistics import wilson

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class AdjectiveRow(TableRow):
    """An acoustic adjective.

    word           base form, in small letters
    units          units whose explanation has it, however often
    share          of the units with a summary, with Wilson's 95 % interval
    scored, hold   of those units, how many were scored, and whose explanation holds
    captions       how many of the captions have it
    caption_share  and of all: what it is to be common anyway; None where there are no captions
    """

    table: ClassVar[str] = UNITS_PER_ADJECTIVE
    key: ClassVar[tuple[str, ...]] = ("word",)

    word: str
    units: int
    share: Estimate
    scored: int
    hold: int
    captions: int
    caption_share: float | None


@dataclass(frozen=True)
class UnitsPerAdjective(Finding):
    """Acoustic adjectives, that of most units first."""

    row = AdjectiveRow
    table: list[AdjectiveRow]

    def summary(self) -> list[str]:
        """How many units have a summary, and the commonest adjectives."""
        first = ", ".join(f"{row.word} {row.units:,}" for row in self.table[:5])
        commonest = f"commonest: {first}" if first else "no unit has an acoustic adjective"
        return [summary_counts(self.facts), *filter(None, [self.facts["left_out"]]), commonest]

    def figure(self, most: int = 10) -> Figure:
        """The commonest adjectives as bars; beside them, the share of the captions that have each."""
        shown, captions = self.table[:most], self.facts["captions"]
        with new_figure(1.4 + 0.22 * max(len(shown), 4), 1, 2, sharey=True, width_ratios=[2.4, 1]) as (figure, both):
            axes, beside = both
            lines = (summary_counts(self.facts), self.facts["left_out"] or "")
            headed(figure, "Acoustic adjectives in the explanations of units", *lines)
            if not shown:
                empty(axes, "no unit has an acoustic adjective")
                beside.set_visible(False)
                return figure
            self._draw_units(axes, shown)
            if self.facts["scored"]:
                figure.legend(loc="outside lower center", frameon=False)
            beside.set_xlabel(f"Captions that have it\n(% of {captions:,})")
            if captions:
                shares = [100 * (row.caption_share or 0.0) for row in shown]
                beside.plot(shares, range(len(shown)), "D", color=VERMILION, ms=4.5, clip_on=False)
                beside.set_xlim(0, 1.1 * max(shares) or 1)
            else:
                beside.set_visible(False)
            for one in both:
                one.grid(axis="x", lw=0.4, alpha=0.5)
                one.set_axisbelow(True)
        return figure

    def _draw_units(self, axes: Axes, shown: list[AdjectiveRow]) -> None:
        """A bar an adjective: the share of units that have it, and of those whose explanation holds."""
        places = range(len(shown))
        shares = np.array([100 * row.share.value for row in shown])
        ends = 100 * bounds([row.share for row in shown])
        axes.barh(
            places, shares, 0.68, color=SKY, edgecolor=BLUE, lw=0.6, xerr=np.abs(ends - shares).tolist(),
            error_kw={"lw": 0.8, "capsize": 1.5},
        )  # fmt: skip
        if self.facts["scored"]:
            holding = [100 * row.hold / self.facts["with_summary"] for row in shown]
            label = "of these, units whose explanation holds on other clips"
            axes.barh(places, holding, 0.68, color=BLUE, label=label)
        for place, row in enumerate(shown):
            axes.annotate(
                f"{row.units:,}", (ends[1, place], place), (4, 0), textcoords="offset points", va="center",
                fontsize=8,
            )  # fmt: skip
        axes.set_yticks(places, [literal(row.word) for row in shown])
        axes.set_ylim(len(shown) - 0.4, -0.6)
        axes.set_xlim(0, 1.16 * float(ends[1].max()))
        axes.set_xlabel("Units that have it (% of those with a summary;\nnumber of units, 95 % interval)")


def units_per_adjective(dissection: Dissection, *, sites: str | Iterable[str] | None = None) -> UnitsPerAdjective:
    """Count the units whose explanation has each acoustic adjective, every unit once a word.

    dissection  a dissection that has been explained
    sites   names or globs; None: all, but each neuron once (see `site_selection.select_sites`)

    Raises DissectionError, which names the command to run, if it has not been explained.
    """
    explanations = read_explanations(dissection, sites)
    facts = explanations.facts()
    units_of_word: dict[str, list[int]] = {}
    for row in explanations.rows:
        place = explanations.selection.place(row)
        if row.part == "adjective" and row.acoustic and place is not None:
            units_of_word.setdefault(row.word, []).append(place)
    in_captions, captions = _in_captions(dissection)
    rows: list[AdjectiveRow] = []
    for word, places in sorted(units_of_word.items(), key=lambda pair: (-len(pair[1]), pair[0])):
        units, holds = len(places), explanations.holds[places]
        rows.append(
            AdjectiveRow(
                word=word,
                units=units,
                share=Estimate(units / facts["with_summary"], *wilson(units, facts["with_summary"])),
                scored=int((holds >= 0).sum()),
                hold=int((holds == 1).sum()),
                captions=in_captions[word],
                caption_share=in_captions[word] / captions if captions else None,
            )
        )
    return UnitsPerAdjective(rows, {**facts, "captions": captions})


def _in_captions(dissection: Dissection) -> tuple[Counter[str], int]:
    """How many captions have each adjective, and how many captions there are."""
    if not has_table(dissection, "captions"):
        return Counter(), 0
    texts = Counter(every_caption(dissection, captions_of(dissection)))
    names = names_in(dissection)
    in_sentence: dict[str, set[str]] = {}
    counts: Counter[str] = Counter()
    for text, times in texts.items():
        words: set[str] = set()
        for sentence in map(idea, sentences(text)):
            if sentence not in in_sentence:
                concepts = concepts_in(tag(sentence), names)
                in_sentence[sentence] = {word for word, part in concepts if part == "adjective"}
            words |= in_sentence[sentence]
        counts.update(dict.fromkeys(words, times))
    return counts, sum(texts.values())
