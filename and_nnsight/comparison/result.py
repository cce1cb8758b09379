"""What `compare` gives: tables of units, concepts and sites, in a few lines, as files, and as a figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..dissection.rows import Rows
from ..dissection.table_row import TableRow
from ..findings.finding import Finding
from ..wording import counted
from .figure import draw
from .rows import (
    ALONE,
    CHANGES,
    CLIPS,
    FEWER,
    FIRST,
    GAINED,
    LOST,
    MORE,
    SECOND,
    STANDINGS,
    UNTESTED,
    ComparedConceptRow,
    ComparedSiteRow,
    ComparedUnitRow,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, repr=False)
class Comparison(Finding):
    """Two dissections over the same clips.

    table     a row a unit of either; `units(side, standing)` chooses
    concepts  a row a concept: how many units of either answer to it, and whether it was lost or gained
    sites     a row a site of either
    """

    row = ComparedUnitRow
    table: list[ComparedUnitRow]
    concepts: list[ComparedConceptRow] = field(default_factory=list)
    sites: list[ComparedSiteRow] = field(default_factory=list)

    @property
    def name(self) -> str:
        """What its files are called."""
        return "comparison"

    @property
    def tables(self) -> dict[type[TableRow], Sequence[TableRow]]:
        """Units, concepts and sites."""
        return {ComparedUnitRow: self.table, ComparedConceptRow: self.concepts, ComparedSiteRow: self.sites}

    def units(self, side: str | None = None, standing: str | None = None) -> Rows[ComparedUnitRow]:
        """The rows of units, of one side, or of one standing; those with the most evidence first, of these the surest.

        Raises ValueError for another side or standing.
        """
        for value, known in ((side, (FIRST, SECOND)), (standing, STANDINGS)):
            if value not in (None, *known):
                raise ValueError(f"{value!r} is none of {', '.join(known)}")
        chosen = (row for row in self.table if side in (None, row.side) and standing in (None, row.standing))
        return Rows(sorted(chosen, key=lambda row: (-row.evidence, row.q_alone or 0.0)), ComparedUnitRow)

    def lost(self) -> Rows[ComparedUnitRow]:
        """Units of the first dissection whose like none of the second is."""
        return self.units(FIRST, ALONE)

    def gained(self) -> Rows[ComparedUnitRow]:
        """Units of the second dissection whose like none of the first is."""
        return self.units(SECOND, ALONE)

    def changed_concepts(self, change: str) -> Rows[ComparedConceptRow]:
        """The concepts that are "lost", "gained", or that "fewer" or "more" units of the second answer to."""
        if change not in CHANGES:
            raise ValueError(f"{change!r} is none of {', '.join(CHANGES)}")
        return Rows((row for row in self.concepts if row.change == change), ComparedConceptRow)

    def summary(self) -> list[str]:
        """What was compared, how units stand, and which concepts were lost and gained."""
        return [self.about, *(self.standing_text(side) for side in (FIRST, SECOND)), *self.concept_texts()]

    @property
    def about(self) -> str:
        """Which clips, and by what."""
        by = self.facts["by"]
        copies = self.facts["copies"]
        left_out = f", without {counted(copies, 'copy', 'copies')} of others" if copies else ""
        way = "their activations over all of these" if by == "activations" else "the clips that are evidence of each"
        return f"{counted(self.facts['clips'], 'clip')}{left_out}; units compared by {way}"

    def side_name(self, side: str) -> str:
        """A side as a reader knows it: which folder, and of which model."""
        about = self.facts[side]
        return f"{side} ({about['folder']})"

    def standing_text(self, side: str) -> str:
        """How the units of a side stand."""
        standings = dict.fromkeys(STANDINGS, 0) | dict(self.facts["standings"][side])
        total = sum(standings.values())
        words = {ALONE: LOST if side == FIRST else GAINED}
        shown = [name for name in STANDINGS if standings[name] or name != UNTESTED]
        text = ", ".join(f"{standings[name]:,} {words.get(name, name)}" for name in shown)
        left_out = self.facts[side]["left_out"]
        note = f" ({left_out})" if left_out else ""
        return f"{self.side_name(side)}: {counted(total, 'unit')}: {text}{note}"

    def concept_texts(self) -> list[str]:
        """Which concepts were lost and gained, and to which labels the share of units changed."""
        lines = []
        for change in (LOST, GAINED):
            concepts = [_changed(row) for row in self.changed_concepts(change)]
            more = f" and {len(concepts) - 12} more" if len(concepts) > 12 else ""
            lines.append(f"concepts {change}: {', '.join(concepts[:12]) or 'none'}{more}")
        for change in (MORE, FEWER):
            rows = sorted(self.changed_concepts(change), key=lambda row: (-abs(row.difference or 0.0), row.concept))
            texts = [f"{row.concept} {row.first_hold or 0:,} to {row.second_hold or 0:,}" for row in rows[:8]]
            if texts:
                lines.append(f"labels that {change} units answer to: {', '.join(texts)}")
        undecided = [row for row in self.labels if row.change is None and row.first_hold != row.second_hold]
        if undecided:
            lines.append(
                f"{counted(len(undecided), 'label')} with another number of units in the second, by no more than other "
                "clips might change"
            )
        return lines

    @property
    def labels(self) -> list[ComparedConceptRow]:
        """The concepts that are labels of the clips."""
        return [row for row in self.concepts if row.source == CLIPS]

    def figure(self) -> Figure:
        """How units stand by site, and which clips' labels units of either answer to."""
        sides = (FIRST, SECOND)
        texts = [self.about, *map(self.standing_text, sides)]
        return draw(self.sites, self.concepts, {side: self.side_name(side) for side in sides}, texts)

    def __repr__(self) -> str:
        return f"Comparison({'; '.join(self.summary()[:3])})"


def _changed(row: ComparedConceptRow) -> str:
    """A concept that was lost or gained; how many units answered to it, and what says so where that is a mere count."""
    units = counted(row.first_hold or row.second_hold or 0, "unit")
    return f"{row.concept} ({units}{'' if row.source == CLIPS else f', {row.source}, counted only'})"
