"""How many units have each acoustic adjective in their explanation (the paper's Fig. 3)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from jaxtyping import Float64

from ..dissection.dissection import Dissection
from ..dissection.table_row import TableRow
from ..explain.describe.concepts import concepts_in, names_in
from ..explain.records.captions import captions_of
from ..explain.records.reading import has_table
from ..explain.text.names import Names
from ..explain.text.sentences import idea, sentences
from ..explain.text.tagging import adjective_forms, tag, tokens
from ..statistics.bootstrap import Estimate
from .drawing import BLACK, BLUE, SKY, VERMILION, bounds, empty, headed, literal, new_figure
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
    hold_share     of those that were scored, with Wilson's interval; None where none was
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
    hold_share: Estimate | None
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
        shown = self.table[:most]
        height, widths = 1.55 + 0.22 * max(len(shown), 4), [1.7, 1.25, 1]
        with new_figure(height, 1, 3, sharey=True, width_ratios=widths) as (figure, (axes, held, beside)):
            lines = (summary_counts(self.facts), self.facts["left_out"] or "", "Bars with 95 % intervals")
            headed(figure, "Acoustic adjectives in the explanations of units", *lines)
            if not shown:
                empty(axes, "no unit has an acoustic adjective")
                held.set_visible(False)
                beside.set_visible(False)
                return figure
            self._draw_units(axes, shown)
            self._draw_holding(held, shown)
            self._draw_captions(beside, shown)
            for one in (axes, held, beside):
                one.grid(axis="x", lw=0.4, alpha=0.5)
                one.set_axisbelow(True)
        return figure

    def _draw_units(self, axes: Axes, shown: list[AdjectiveRow]) -> None:
        """A bar an adjective: the share of units that have it."""
        places = range(len(shown))
        ends = _bars(axes, [row.share for row in shown])
        for place, row in enumerate(shown):
            _beside_bar(axes, float(ends[1, place]), place, f"{row.units:,}")
        axes.set_yticks(places, [literal(row.word) for row in shown])
        axes.set_ylim(len(shown) - 0.4, -0.6)
        axes.set_xlim(0, 1.2 * float(ends[1].max()))
        axes.set_xlabel("Units that have it\n(% of those with a summary)")

    def _draw_holding(self, axes: Axes, shown: list[AdjectiveRow]) -> None:
        """How many of an adjective's explanations hold, of those that were scored, and of all that were."""
        scored, hold = self.facts["scored"], self.facts["hold"]
        if not scored:
            axes.set_visible(False)
            return
        ends = _bars(axes, [row.hold_share for row in shown])
        for place, row in enumerate(shown):
            text = f"{row.hold:,} of {row.scored:,}" if row.scored else "none scored"
            _beside_bar(axes, float(ends[1, place]) if row.scored else 0.0, place, text)
        axes.axvline(100 * hold / scored, color=BLACK, lw=0.9, ls=":")
        axes.set_xlim(0, 165)
        axes.set_xticks([0, 50, 100])
        axes.set_xlabel("Explanations that hold\n(% of scored; dotted: all)")

    def _draw_captions(self, axes: Axes, shown: list[AdjectiveRow]) -> None:
        """How common each adjective is in captions."""
        captions = self.facts["captions"]
        if not captions:
            axes.set_visible(False)
            return
        shares = [100 * (row.caption_share or 0.0) for row in shown]
        axes.plot(shares, range(len(shown)), "D", color=VERMILION, ms=4.5, clip_on=False)
        axes.set_xlim(0, 1.1 * max(shares) or 1)
        axes.set_xlabel(f"Captions that have it\n(% of {captions:,})")


def _bars(axes: Axes, shares: list[Estimate | None]) -> Float64[np.ndarray, "end row"]:
    """Bars of shares with their intervals, in per cent; where the intervals end. None: no bar."""
    percent = np.array([100 * (share.value if share else 0.0) for share in shares])
    ends = 100 * bounds([share or Estimate(np.nan, None, None) for share in shares])
    axes.barh(
        range(len(shares)), percent, 0.68, color=SKY, edgecolor=BLUE, lw=0.6, xerr=np.abs(ends - percent).tolist(),
        error_kw={"lw": 0.8, "capsize": 1.5},
    )  # fmt: skip
    return ends


def _beside_bar(axes: Axes, end: float, place: int, text: str) -> None:
    """A text at a bar's end, on white: nothing that is drawn behind it crosses it."""
    white = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}
    axes.annotate(text, (end, place), (4, 0), textcoords="offset points", va="center", fontsize=8, bbox=white, zorder=3)


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
    in_captions, captions = _in_captions(dissection, units_of_word.keys())
    rows: list[AdjectiveRow] = []
    for word, places in sorted(units_of_word.items(), key=lambda pair: (-len(pair[1]), pair[0])):
        units, holds = len(places), explanations.holds[places]
        scored, hold = int((holds >= 0).sum()), int((holds == 1).sum())
        rows.append(
            AdjectiveRow(
                word=word,
                units=units,
                share=Estimate(units / facts["with_summary"], *wilson(units, facts["with_summary"])),
                scored=scored,
                hold=hold,
                hold_share=Estimate(hold / scored, *wilson(hold, scored)) if scored else None,
                captions=in_captions[word],
                caption_share=in_captions[word] / captions if captions else None,
            )
        )
    return UnitsPerAdjective(rows, {**facts, "captions": captions})


def _in_captions(dissection: Dissection, wanted: Set[str]) -> tuple[Counter[str], int]:
    """How many captions have each of some adjectives, and how many captions there are.

    Only sentences with a word that may be one of them are tagged.
    """
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
                in_sentence[sentence] = _adjectives_in(sentence, wanted, names)
            words |= in_sentence[sentence]
        counts.update(dict.fromkeys(words, times))
    return counts, sum(texts.values())


def _adjectives_in(sentence: str, wanted: Set[str], names: Names) -> set[str]:
    if all(wanted.isdisjoint(adjective_forms(word)) for word in tokens(sentence)):
        return set()
    concepts = concepts_in(tag(sentence), names)
    return {word for word, part in concepts if part == "adjective"} & wanted
