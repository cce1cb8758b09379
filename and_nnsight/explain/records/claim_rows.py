"""Rows of the tables of what is claimed of units and how it was put to the test: labels, scores, listening, effects."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from ...dissection.decimals import Single
from ...dissection.row_parts import UNPREFIXED
from ...dissection.table_row import TableRow
from ...statistics.bootstrap import Estimate


@dataclass(frozen=True)
class LabelRow(TableRow):
    """A concept out of a given list that a unit goes with, by one way of labelling; or why there is none.

    concepts  short hash of the list
    rank      0 for the concept that goes with the unit best
    concept   its name; of a union the names of its concepts, joined
    members   the concepts of a union, the best first; None for a single concept
    basis     what the score was computed from
    encoder   what compared clips with concepts (icl: the chat model)
    answer, request  of the chat model (icl)
    """

    table: ClassVar[str] = "labels"
    key: ClassVar[tuple[str, ...]] = ("site", "unit", "method", "similarity", "concepts", "encoder", "rank")

    site: str
    unit: int
    method: str
    similarity: str
    concepts: str
    rank: int = 0
    concept: str | None = None
    members: list[str] | None = None
    score: Single | None = None
    basis: str | None = None
    encoder: str | None = None
    answer: str | None = None
    request: str | None = None
    failure: str | None = None

    @property
    def source(self) -> str:
        """The source of what it claims: see `label_source`."""
        return label_source(self.method, self.similarity, self.concepts, self.encoder)


def label_source(method: str, similarity: str, concepts: str, encoder: str | None) -> str:
    """The source of a label: how it came about, and by which list and encoder, which tell it from others."""
    return " ".join(["label", *(part for part in (method, similarity, concepts, encoder) if part)])


@dataclass(frozen=True)
class ScoreRow(TableRow):
    """How well a claim tells its unit's clips on held-out data: see `evaluate.scoring.score` for the numbers.

    null  the one of the nulls that goes best with the unit; its direction is `null_sign`
    pool  hash of what is claimed of the site's units
    """

    table: ClassVar[str] = "scores"
    key: ClassVar[tuple[str, ...]] = ("site", "unit", "source")

    site: str
    unit: int
    source: str
    text: str
    clips: int | None = None
    top_down: float | None = None
    p: float | None = None
    q: float | None = None
    predicts: bool = False
    top_down_beyond: float | None = None
    p_beyond: float | None = None
    q_beyond: float | None = None
    beyond_acoustics: bool = False
    level: float | None = None
    others: int | None = None
    others_as_good: float | None = None
    positives: int | None = None
    base_rate: float | None = None
    pearson: Single | None = None
    auprc: Single | None = None
    null: str | None = None
    null_sign: int | None = None
    null_pearson: Single | None = None
    null_auprc: Single | None = None
    loudness_pearson: Single | None = None
    loudness_auprc: Single | None = None
    peak_pearson: Single | None = None
    peak_auprc: Single | None = None
    duration_pearson: Single | None = None
    duration_auprc: Single | None = None
    silence_pearson: Single | None = None
    silence_auprc: Single | None = None
    brightness_pearson: Single | None = None
    brightness_auprc: Single | None = None
    detection: float | None = None
    detection_null: float | None = None
    detection_shuffled: float | None = None
    detection_clips: int | None = None
    requests: list[str] | None = None
    detection_failure: str | None = None
    failure: str | None = None
    pool: str | None = None


@dataclass(frozen=True)
class ListeningRow(TableRow):
    """What a listener heard of a claim: see `evaluate.listening.asking.listen` for the numbers.

    statement  the text without counts, as the listener got it
    fits       what it said of each of the clips
    asked      hash of all that is asked of the claim
    """

    table: ClassVar[str] = "listening"
    key: ClassVar[tuple[str, ...]] = ("site", "unit", "source")

    site: str
    unit: int
    source: str
    text: str
    statement: str | None = None
    clips: list[int] | None = None
    fires: list[bool] | None = None
    fits: list[float] | None = None
    detection: float | None = None
    detection_auc: float | None = None
    others: int | None = None
    others_detection: float | None = None
    others_auc: float | None = None
    p_chance: float | None = None
    p_words: float | None = None
    p: float | None = None
    intruder: float | None = None
    intruder_trials: int | None = None
    intruder_p: float | None = None
    intruder_clips: list[list[int]] | None = None
    intruder_places: list[int] | None = None
    intruder_fits: list[list[float]] | None = None
    failure: str | None = None
    intruder_failure: str | None = None
    asked: str | None = None


@dataclass(frozen=True)
class EffectNumbers:
    """What ablating a unit, or a few, changes of its concept's clips and of others, beside other units of the site.

    own, others          mean change on the concept's own clips, and on the others
    selectivity          others minus own: above zero where the concept itself loses more
    control_selectivity  the same of the other units, on average
    excess               of the selectivity over theirs, with a prediction interval over them and the clips
    p                    share of units, this one and the others, that are at least as selective
    """

    own: Estimate
    others: Estimate
    selectivity: Estimate
    control_selectivity: Estimate
    excess: Estimate
    p: float


@dataclass(frozen=True)
class EffectRow(TableRow):
    """What ablating a unit changes of the logit of its label's class, as `unlearn.label_effects` measured it.

    clips, other_clips  of the class, and the others
    controls            how many other units of the site were ablated for comparison
    numbers             what was measured, in columns of their own names (own, own_low, own_high, others …, p); None
                        where nothing could be, for the reason in `failure`
    """

    table: ClassVar[str] = "causal"
    key: ClassVar[tuple[str, ...]] = ("site", "unit", "concept")

    site: str
    unit: int
    concept: str
    clips: int
    other_clips: int
    controls: int
    numbers: EffectNumbers | None = field(default=None, metadata=UNPREFIXED)
    failure: str | None = None
