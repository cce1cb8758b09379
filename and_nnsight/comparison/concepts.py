"""Which concepts units of the one dissection answer to and none of the other: lost and gained ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..explain.records.description_rows import ConceptRow
from ..explain.records.reading import rows_of_every_unit
from ..statistics.false_discovery import false_discovery_rates
from .label_changes import LabelChange, label_changes
from .rows import ALONE, CLIPS, FEWER, GAINED, LABEL, LOST, MORE, WORD, ComparedConceptRow, ComparedUnitRow
from .sides import At, Side
from .units import LEVEL


@dataclass(frozen=True)
class Answer:
    """That a concept is said of a unit. `holds`: whether that stands the test; None: not tested. `q` of clips only."""

    at: At
    holds: bool | None
    q: float | None = None


Answers = Mapping[str, list[Answer]]
"""By concept."""


@dataclass(frozen=True)
class LabelAnswers:
    """Of clips: the units of both whose commonest label is over-represented. `cutoff`: up to which p it is said so."""

    first: Answers
    second: Answers
    cutoff: float

    @property
    def holding(self) -> list[str]:
        """The labels that a unit of either answers to."""
        of_both = [*self.first.items(), *self.second.items()]
        return sorted({label for label, answers in of_both if any(answer.holds for answer in answers)})


def label_answers(first: Side, second: Side) -> LabelAnswers:
    """Of the units of both sides; q over all of them."""
    p = [first.label_p, second.label_p]
    every = np.array([value for of_side in p for value in of_side.values()], np.float64)
    q = false_discovery_rates(every)
    parts = np.split(q, [len(p[0])])
    sides: list[Answers] = []
    for side, of_side, rates in zip((first, second), p, parts, strict=True):
        answers: dict[str, list[Answer]] = {}
        for at, rate in zip(of_side, rates.tolist(), strict=True):
            answers.setdefault(str(side.units[at].common_label), []).append(Answer(at, rate <= LEVEL, rate))
        sides.append(answers)
    return LabelAnswers(sides[0], sides[1], LEVEL * float((q <= LEVEL).mean()) if len(q) else 0.0)


def concept_rows(
    first: Side, second: Side, labelled: LabelAnswers, units: Iterable[ComparedUnitRow], seed: int
) -> list[ComparedConceptRow]:
    """Every concept of either, those that are lost first, then gained, then by the number of units."""
    changes = label_changes(first, second, labelled.holding, labelled.cutoff, seed)
    alone = {(row.side, row.site, row.unit) for row in units if row.standing == ALONE}
    sources = {
        CLIPS: (labelled.first, labelled.second),
        LABEL: (_closed(first), _closed(second)),
        WORD: (_words(first), _words(second)),
    }
    rows: list[ComparedConceptRow] = []
    for source, (ours, theirs) in sources.items():
        tested = _is_tested(ours) and _is_tested(theirs)
        of_source = [
            _row(source, concept, (first, ours), (second, theirs), alone, tested)
            for concept in dict.fromkeys([*ours, *theirs])
        ]
        if source == CLIPS:
            of_source = [_with_change(row, changes.get(row.concept)) for row in of_source]
        order = {LOST: 0, GAINED: 1, FEWER: 2, MORE: 3, None: 4}
        rows += sorted(of_source, key=lambda row: (order[row.change], -row.first_units - row.second_units, row.concept))
    return rows


def _closed(side: Side) -> Answers:
    answers: dict[str, list[Answer]] = {}
    for at, row in side.units.items():
        if row.label is not None:
            answers.setdefault(row.label, []).append(Answer(at, row.label_holds))
    return answers


def _words(side: Side) -> Answers:
    answers: dict[str, list[Answer]] = {}
    for row in rows_of_every_unit(side.dissection, ConceptRow):
        unit = side.units.get((row.site, row.unit))
        if unit is not None and row.part != "preposition":
            answers.setdefault(row.word, []).append(Answer((row.site, row.unit), unit.explanation_holds))
    return answers


def _is_tested(answers: Answers) -> bool:
    return any(answer.holds is not None for of_concept in answers.values() for answer in of_concept)


def _row(
    source: str,
    concept: str,
    first: tuple[Side, Answers],
    second: tuple[Side, Answers],
    alone: set[tuple[str, str, int]],
    tested: bool,
) -> ComparedConceptRow:
    columns: dict[str, Any] = {}
    for side, answers in (first, second):
        said = answers.get(concept, [])
        holding = [answer for answer in said if answer.holds]
        columns |= {
            f"{side.name}_units": len(said),
            f"{side.name}_hold": len(holding) if _is_tested(answers) else None,
            f"{side.name}_alone": sum((side.name, *answer.at) in alone for answer in (holding if tested else said)),
        }
        columns |= dict(_best(side, said))
    change = None
    if tested and not columns["second_hold"] and columns["first_hold"]:
        change = LOST
    elif tested and not columns["first_hold"] and columns["second_hold"]:
        change = GAINED
    return ComparedConceptRow(source, concept, change, **columns)


def _with_change(row: ComparedConceptRow, change: LabelChange | None) -> ComparedConceptRow:
    """A label with the test of the difference: what other clips might undo is no change."""
    if change is None:
        return replace(row, change=None)
    said = None
    if change.q <= LEVEL:
        counted = FEWER if change.difference < 0 else MORE
        said = row.change or counted
    return replace(row, **(vars(change) | {"change": said}))


def _best(side: Side, said: Iterable[Answer]) -> Iterator[tuple[str, Any]]:
    """The unit of clips that share a label with the lowest q, the first among equals."""
    known = [(answer.q, answer.at) for answer in said if answer.q is not None]
    if known:
        q, at = min(known, key=lambda each: each[0])
        row = side.units[at]
        yield f"{side.name}_best", f"{row.site}:{row.unit}"
        yield f"{side.name}_count", row.common_count
        yield f"{side.name}_of", row.evidence
        yield f"{side.name}_q", q
