"""What a search compares with a text: the sentences of explanations, open concepts, and first labels."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from ...dissection.dissection import Dissection
from ...dissection.errors import DissectionError
from ...dissection.next_step import run_first
from ..evaluate.claims import explanations, open_concepts
from ..labels.concept_lists import concept_text
from ..records.claim_rows import LabelRow
from ..records.description_rows import CalibratedRow, ConceptRow, SummaryRow
from ..records.reading import has_table, rows_of_every_unit
from ..text.sentences import share, telling_sentences

_TABLES = (SummaryRow, CalibratedRow, ConceptRow, LabelRow)


class Statement(NamedTuple):
    """A text about a unit. `claim`: the source of the claim that it belongs to. `strength`: of a label (`search`)."""

    at: tuple[str, int]
    source: str
    text: str
    claim: str
    strength: float = 1.0

    @property
    def share(self) -> float:
        """The share of the unit's clips that it is about; 0 where that is not known."""
        return share(self.text) if self.source == "explanation" else 0.0


@dataclass(frozen=True)
class Statements:
    """Everything that can be compared with a text. `explanations`: of each unit, calibrated where it has been."""

    explanations: Mapping[tuple[str, int], str]
    concepts: Mapping[tuple[str, int], str]
    labels: tuple[tuple[LabelRow, float], ...]

    @classmethod
    def read(cls, dissection: Dissection) -> Statements:
        """Those in a folder. Raises DissectionError, which names the command to run, where there are none."""
        summaries = rows_of_every_unit(dissection, SummaryRow)
        calibrated = rows_of_every_unit(dissection, CalibratedRow)
        concepts, labels = rows_of_every_unit(dissection, ConceptRow), rows_of_every_unit(dissection, LabelRow)
        tables = any(has_table(dissection, row.table) for row in _TABLES)
        if not (tables or summaries or calibrated or concepts or labels):
            raise DissectionError(
                f"{dissection.place} has no explanations to search yet: {run_first(dissection, 'explain')}"
            )
        return cls(explanations(summaries, calibrated), open_concepts(concepts), tuple(_first_labels(labels)))

    def every(self) -> Iterator[Statement]:
        """Every sentence of an explanation, a unit's open concepts together, and the first label by each method."""
        for at, text in self.explanations.items():
            yield from (Statement(at, "explanation", sentence, "explanation") for sentence in telling_sentences(text))
        for at, text in self.concepts.items():
            yield Statement(at, "concepts", text, "concepts")
        for row, strength in self.labels:
            yield Statement((row.site, row.unit), "label", concept_text(row.concept or ""), row.source, strength)

    def claim_text(self, statement: Statement) -> str | None:
        """The whole claim that a statement is a part of: of a sentence, its explanation."""
        return self.explanations.get(statement.at) if statement.source == "explanation" else statement.text


def _first_labels(rows: Iterable[LabelRow]) -> Iterator[tuple[LabelRow, float]]:
    """The first label of each unit by each way of labelling, and its strength (see `search`)."""
    ways: dict[str, dict[tuple[str, int], list[LabelRow]]] = {}
    for row in rows:
        if row.concept is not None:
            ways.setdefault(row.source, {}).setdefault((row.site, row.unit), []).append(row)
    for of_units in ways.values():
        ranked = [sorted(of_unit, key=lambda row: row.rank) for of_unit in of_units.values()]
        scores = _shares([of_unit[0].score for of_unit in ranked])
        margins = _shares([_margin(of_unit) for of_unit in ranked])
        for of_unit, score, margin in zip(ranked, scores, margins, strict=True):
            yield of_unit[0], _strength(score, margin)


def _strength(*shares: float | None) -> float:
    """The mean of the shares that are known; 1 where none is."""
    known = [share for share in shares if share is not None]
    return sum(known) / len(known) if known else 1.0


def _margin(ranked: list[LabelRow]) -> float | None:
    """How far a unit's first label is above the next concept that is not in it; None where no more are known."""
    first, within = ranked[0].score, ranked[0].members or ()
    others = [row.score for row in ranked[1:] if row.concept not in within]
    if first is None or not others or others[0] is None:
        return None
    return first - others[0]


def _shares(values: list[float | None]) -> list[float | None]:
    """For each value which share of them is no higher; None for those that are not known."""
    known = sorted(value for value in values if value is not None)
    return [None if value is None else bisect_right(known, value) / len(known) for value in values]
