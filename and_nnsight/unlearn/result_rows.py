"""Rows of what was measured of choices of units: of each choice, of each method, of each class, of ablated units."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from ..dissection.row_parts import UNPREFIXED
from ..dissection.table_row import TableRow
from ..explain.records.claim_rows import EffectNumbers
from ..statistics.bootstrap import Estimate

OUTCOMES = ("logit", "probability", "accuracy")
_ESTIMATES = ("own", "others", "selectivity", "control_own", "control_others", "control_selectivity", "excess")


@dataclass(frozen=True)
class OutcomeSummary:
    """What some choices, each weighing the same, change of a number: logit, probability or accuracy.

    own, others, selectivity  of the choices: change on own clips, on all others, and others minus own
    control_…                 the same of their controls, the mean over draws
    excess                    selectivity beyond that of the controls, paired, with a prediction interval over draws and
                              clips (`effects.prediction`): that of random units excludes zero in 5 of 100 cases
    draws                     the selectivity of each draw
    beaten                    how many of the draws have a lower selectivity
    p                         how often random units would be as selective, by exchanging choices with their draws
    Without draws there are no controls, no excess and no p.
    """

    own: Estimate
    others: Estimate
    selectivity: Estimate
    control_own: Estimate | None = None
    control_others: Estimate | None = None
    control_selectivity: Estimate | None = None
    excess: Estimate | None = None
    draws: list[float] = field(default_factory=list)
    beaten: int = 0
    p: float | None = None

    def to_json(self) -> dict[str, Any]:
        """As JSON; an estimate is {value, low, high}, and left out where there is none."""
        estimates = {name: getattr(self, name) for name in _ESTIMATES}
        measured = {name: estimate._asdict() for name, estimate in estimates.items() if estimate is not None}
        return {**measured, "draws": self.draws, "beaten": self.beaten, "p": self.p}


@dataclass(frozen=True)
class ChoiceRow(TableRow):
    """What a choice does.

    class_name          the class of the model that it is to unlearn
    units               how many it has
    clips, other_clips  of the class, and the others
    """

    table: ClassVar[str] = "choices"
    key: ClassVar[tuple[str, ...]] = ("method", "concept", "class_name")

    method: str
    concept: str | None
    class_name: str
    units: int
    clips: int
    other_clips: int
    logit: OutcomeSummary
    probability: OutcomeSummary
    accuracy: OutcomeSummary

    def to_json(self) -> dict[str, Any]:
        """As `measured.json` has it."""
        return {
            "method": self.method,
            "concept": self.concept,
            "class": self.class_name,
            "units": self.units,
            "clips": self.clips,
            "other_clips": self.other_clips,
            **{outcome: getattr(self, outcome).to_json() for outcome in OUTCOMES},
        }


@dataclass(frozen=True)
class MethodRow(TableRow):
    """What the choices of a method do, each weighing the same: a line of the paper's Table 4.

    classes  how many choices there are
    units    how many units they have, on average
    """

    table: ClassVar[str] = "methods"
    key: ClassVar[tuple[str, ...]] = ("method",)

    method: str
    classes: int
    units: float
    logit: OutcomeSummary
    probability: OutcomeSummary
    accuracy: OutcomeSummary

    def to_json(self) -> dict[str, Any]:
        """As `measured.json` has it."""
        summaries = {outcome: getattr(self, outcome).to_json() for outcome in OUTCOMES}
        return {"method": self.method, "classes": self.classes, "units": self.units, **summaries}


@dataclass(frozen=True)
class ClassRow(TableRow):
    """What a choice does to the own clips of a class (the paper's Fig. 10).

    target         whether it is the class that the choice is to unlearn
    before, after  the mean number of its clips, as the model is and without the units
    change         after minus before
    control        the mean change by random draws; None where there are none
    """

    table: ClassVar[str] = "classes"
    key: ClassVar[tuple[str, ...]] = ("class_name",)

    class_name: str
    target: bool
    clips: int
    before: float
    after: float
    change: Estimate
    control: Estimate | None = None


@dataclass(frozen=True)
class CausalEffect(TableRow):
    """What ablating a unit, or a few, does to the concept that they are said to be for.

    site, unit          of the one unit; None for several
    units               how many they are
    clips, other_clips  of the concept, and the others
    controls            how many other sets of units were ablated for comparison
    numbers             what was measured, in columns of their own names (own, own_low, own_high, others …, p); None
                        where nothing could be, for the reason in `failure`
    """

    table: ClassVar[str] = "causal_effects"
    key: ClassVar[tuple[str, ...]] = ("site", "unit", "concept")

    site: str | None
    unit: int | None
    units: int
    concept: str
    clips: int
    other_clips: int
    controls: int
    numbers: EffectNumbers | None = field(default=None, metadata=UNPREFIXED)
    failure: str | None = None
