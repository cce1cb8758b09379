"""Everything that is known of one unit, in one place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from ...dissection.dissection import Dissection
from ...dissection.exemplars import Exemplar, Unit
from ..describe.captions import captions_of_unit
from ..evaluate.claims import label_source, open_concepts
from ..evaluate.listening.result import ListeningResult, listening_results
from ..evaluate.verdicts import Verdict, Verdicts
from ..labels.concept_lists import concept_text
from ..records.tables import Row, unit_rows


@dataclass(frozen=True)
class Concept:
    """A word drawn out of a unit's summary. `acoustic`: whether it passed the acoustic-adjective test (adjectives)."""

    word: str
    part: str
    count: int
    acoustic: bool | None


@dataclass(frozen=True)
class Label:
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
        return label_source(vars(self))


@dataclass(frozen=True)
class Effect:
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


_TABLES = ("summaries", "calibrated", "concepts", "labels", "scores", "listening", "causal")
_LABEL = tuple(each.name for each in fields(Label) if each.name != "members")
_EFFECT = tuple(each.name for each in fields(Effect))


def _order(row: Row) -> tuple[Any, ...]:
    return row["method"], row["similarity"], row["concepts"], row["encoder"] or "", row["rank"]


@dataclass(frozen=True)
class Card:
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


def card(dissection: Dissection, site: str, unit: int) -> Card:
    """The card of a unit. Raises DissectionError for a site or unit that does not exist."""
    shown = dissection.unit(site, unit)
    rows = {name: unit_rows(dissection, name, site, unit) for name in _TABLES}
    summary, calibrated = _only(rows["summaries"]), _only(rows["calibrated"])
    claims = {
        "explanation": calibrated["calibrated"] if calibrated else summary.get("highly"),
        "concepts": open_concepts(rows["concepts"]).get((site, unit)),
        **_first_labels(rows["labels"]),
    }
    return Card(
        unit=shown,
        captions=captions_of_unit(dissection, shown),
        summary=summary.get("highly"),
        lowly=summary.get("lowly"),
        calibrated=calibrated.get("calibrated"),
        dropped=tuple((row["sentence"], row["lowly"], row["similarity"]) for row in calibrated.get("dropped") or ()),
        concepts=tuple(Concept(row["word"], row["part"], row["count"], row["acoustic"]) for row in rows["concepts"]),
        labels=_labels(rows["labels"]),
        failures=_failures(summary, calibrated, rows["labels"]),
        verdicts=_verdicts(rows["scores"], site, unit, claims),
        listening=listening_results(dissection, rows["listening"], claims),
        effects=_effects(rows["causal"]),
    )


def _only(rows: Sequence[Row]) -> Row:
    """The row of a table that has one a unit; empty where there is none."""
    return rows[0] if rows else {}


def _first_labels(rows: Iterable[Row]) -> dict[str, str]:
    """The text of the first label by each way of labelling."""
    first = [row for row in rows if row["concept"] and not row["rank"]]
    return {label_source(row): concept_text(row["concept"]) for row in first}


def _labels(rows: Iterable[Row]) -> tuple[Label, ...]:
    labelled = [row for row in rows if row["concept"] is not None]
    return tuple(
        Label(**{name: row[name] for name in _LABEL}, members=tuple(row.get("members") or ()))
        for row in sorted(labelled, key=_order)
    )


def _failures(summary: Row, calibrated: Row, labels: Iterable[Row]) -> dict[str, str]:
    """Why there is no summary, calibration or label, by step."""
    reasons = {"summary": summary.get("failure"), "calibration": calibrated.get("failure")}
    reasons |= {f"label by {row['method']}": row["failure"] for row in labels if row["failure"]}
    return {step: reason for step, reason in reasons.items() if reason}


def _verdicts(rows: Iterable[Row], site: str, unit: int, claims: Mapping[str, str | None]) -> dict[str, Verdict]:
    """The verdict on each claim that has been scored as it stands."""
    known = Verdicts(rows)
    verdicts = {source: known(site, unit, source, text) for source, text in claims.items()}
    return {source: verdict for source, verdict in verdicts.items() if verdict is not None}


def _effects(rows: Iterable[Row]) -> tuple[Effect, ...]:
    measured = [row for row in rows if row["failure"] is None]
    return tuple(Effect(**{name: row[name] for name in _EFFECT}) for row in measured)
