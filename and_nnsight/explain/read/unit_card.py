"""Everything that is known of one unit, in one place."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ...dissection.dissection import Dissection
from ...dissection.exemplars import Exemplar, Unit
from ...dissection.firing import Firing, fires_on
from ...plugins import Viewed
from ...wording import Brief
from ..evaluate.claims import open_concepts
from ..evaluate.listening.result import ListeningResult, listening_results
from ..evaluate.verdicts import Verdict, Verdicts
from ..labels.concept_lists import concept_text
from ..records.captions import captions_of_unit
from ..records.claim_rows import EffectNumbers, EffectRow, LabelRow, ListeningRow, ScoreRow, label_source
from ..records.description_rows import CalibratedRow, ConceptRow, SummaryRow
from ..records.reading import unit_rows

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class Concept(Brief):
    """A word drawn out of a unit's summary. `acoustic`: whether it passed the acoustic-adjective test (adjectives)."""

    word: str
    part: str
    count: int
    acoustic: bool | None


@dataclass(frozen=True)
class Label(Brief):
    """A concept out of a given list.

    basis     what the score was computed from
    concepts  a hash of the list
    encoder   what compared clips with concepts (icl: the chat model); None with labels
    members   the concepts of a union, the best first; empty for a single concept
    """

    concept: str
    score: float
    rank: int
    method: str
    similarity: str
    basis: str
    concepts: str
    encoder: str | None
    members: tuple[str, ...] = ()

    @property
    def source(self) -> str:
        """The key of its verdict in `Card.verdicts`, if it is the first."""
        return label_source(self.method, self.similarity, self.concepts, self.encoder)


@dataclass(frozen=True)
class Effect(Brief):
    """What ablating the unit changes of a class's logit, as `unlearn.label_effects` measured it.

    own, others          mean change on the class's own clips, and on all others
    selectivity          others minus own: above zero where the class itself loses more
    control_selectivity  the same of other units of the site, on average; `controls` of them
    p                    share of units, this one and the controls, that are at least as selective
    """

    concept: str
    own: float
    others: float
    selectivity: float
    control_selectivity: float
    controls: int
    p: float


def _order(row: LabelRow) -> tuple[Any, ...]:
    return row.method, row.similarity, row.concepts, row.encoder or "", row.rank


@dataclass(frozen=True)
class Card(Viewed):
    """A unit with its exemplars and whatever steps have been run; None or empty where a step has not.

    captions    by exemplar, of its clip or of the excerpt that was captioned
    labels      by method, similarity and list of concepts, rank 0 first
    summary     what the highly clips have in common; `lowly` likewise of the lowly ones
    calibrated  the sentences of the summary that do not hold of the lowly clips as well
    dropped     the other sentences: sentence, the lowly sentence it resembles, and their similarity
    failures    what could not be said, by step, and why
    verdicts    how what is said did on held-out clips, by source: explanation, concepts, `Label.source`
    listening   what a listener heard of it, by source likewise
    effects     what ablating it does to the concept of its label
    firing      on which phones, words, speakers and pauses it fires, where there are annotations
    dissection  whose unit it is; None for a card made by hand
    """

    unit: Unit
    captions: Mapping[Exemplar, str]
    summary: str | None
    lowly: str | None
    calibrated: str | None
    dropped: tuple[tuple[str, str, float], ...]
    concepts: tuple[Concept, ...]
    labels: tuple[Label, ...]
    failures: Mapping[str, str]
    verdicts: Mapping[str, Verdict] = field(default_factory=dict)
    listening: Mapping[str, ListeningResult] = field(default_factory=dict)
    effects: tuple[Effect, ...] = ()
    firing: tuple[Firing, ...] = ()
    dissection: Dissection | None = field(default=None, compare=False)

    @property
    def unsaid(self) -> tuple[str | None, str | None]:
        """Why there are no words of the clips it responds to most, and of those it responds to least.

        None where there are words, where nobody asked for any, and of the latter where there are none of the former.
        """
        highly, _, lowly = f"; {self.failures.get('summary', '')}".partition("; lowly: ")
        highly = highly.removeprefix("; ").removeprefix("highly: ")
        return highly or None, None if highly else lowly or None

    def to_pandas(self) -> pandas.DataFrame:
        """The unit's exemplars, with the captions that it was described by."""
        frame = self.unit.to_pandas()
        shown = [*self.unit.top, *self.unit.bottom]
        frame["caption"] = [self.captions.get(exemplar) or exemplar.caption for exemplar in shown]
        return frame

    def __repr__(self) -> str:
        words = self.calibrated or self.summary or "no words"
        labels = ", ".join(label.concept for label in self.labels if not label.rank)
        said = textwrap.shorten(words, 160, placeholder="…")
        labelled = f"; labelled {textwrap.shorten(labels, 60, placeholder='…')}" if labels else ""
        return f"Card({self.unit.site!r}, {self.unit.index}: {said}{labelled})"


def card(dissection: Dissection, site: str, unit: int) -> Card:
    """The card of a unit. Raises DissectionError for a site or unit that does not exist."""
    shown = dissection.unit(site, unit)
    summary = next(iter(unit_rows(dissection, SummaryRow, site, unit)), None)
    calibrated = next(iter(unit_rows(dissection, CalibratedRow, site, unit)), None)
    concepts, labels = unit_rows(dissection, ConceptRow, site, unit), unit_rows(dissection, LabelRow, site, unit)
    explanation = None if summary is None else summary.highly
    claims: dict[str, str | None] = {
        "explanation": explanation if calibrated is None else calibrated.calibrated,
        "concepts": open_concepts(concepts).get((site, unit)),
        **_first_labels(labels),
    }
    return Card(
        unit=shown,
        captions=captions_of_unit(dissection, shown),
        summary=explanation,
        lowly=None if summary is None else summary.lowly,
        calibrated=None if calibrated is None else calibrated.calibrated,
        dropped=() if calibrated is None else tuple(calibrated.dropped or ()),
        concepts=tuple(Concept(row.word, row.part, row.count, row.acoustic) for row in concepts),
        labels=_labels(labels),
        failures=_failures(summary, calibrated, labels),
        verdicts=_verdicts(unit_rows(dissection, ScoreRow, site, unit), site, unit, claims),
        listening=listening_results(dissection, unit_rows(dissection, ListeningRow, site, unit), claims),
        effects=_effects(unit_rows(dissection, EffectRow, site, unit)),
        firing=fires_on(dissection, site, unit),
        dissection=dissection,
    )


def _first_labels(rows: Iterable[LabelRow]) -> dict[str, str]:
    """The text of the first label by each way of labelling."""
    return {row.source: concept_text(row.concept) for row in rows if row.concept and not row.rank}


def _labels(rows: Iterable[LabelRow]) -> tuple[Label, ...]:
    labelled = [row for row in rows if row.concept is not None]
    return tuple(_label(row) for row in sorted(labelled, key=_order))


def _label(row: LabelRow) -> Label:
    return Label(
        concept=row.concept or "",
        score=row.score or 0.0,
        rank=row.rank,
        method=row.method,
        similarity=row.similarity,
        basis=row.basis or "",
        concepts=row.concepts,
        encoder=row.encoder,
        members=tuple(row.members or ()),
    )


def _failures(
    summary: SummaryRow | None, calibrated: CalibratedRow | None, labels: Sequence[LabelRow]
) -> dict[str, str]:
    """Why there is no summary, calibration or label, by step."""
    steps = {"summary": summary, "calibration": calibrated}
    failures = {name: row.failure for name, row in steps.items() if row is not None and row.failure}
    return failures | {f"label by {row.method}": row.failure for row in labels if row.failure}


def _verdicts(rows: Sequence[ScoreRow], site: str, unit: int, claims: Mapping[str, str | None]) -> dict[str, Verdict]:
    """The verdict on each claim that has been scored as it stands."""
    known = Verdicts(rows)
    verdicts = {source: known(site, unit, source, text) for source, text in claims.items()}
    return {source: verdict for source, verdict in verdicts.items() if verdict is not None}


def _effects(rows: Iterable[EffectRow]) -> tuple[Effect, ...]:
    return tuple(_effect(row, row.numbers) for row in rows if row.numbers is not None)


def _effect(row: EffectRow, numbers: EffectNumbers) -> Effect:
    return Effect(
        concept=row.concept,
        own=numbers.own.value,
        others=numbers.others.value,
        selectivity=numbers.selectivity.value,
        control_selectivity=numbers.control_selectivity.value,
        controls=row.controls,
        p=numbers.p,
    )
