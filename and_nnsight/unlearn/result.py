"""What was measured of choices of units beside their random controls: tables with intervals, and a folder of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as arrow
from jaxtyping import Float64, Int64

from ..dissection.errors import DissectionError
from ..dissection.rows import Rows
from ..statistics.bootstrap import clip_weights, estimate
from ..storage import make_folder, write_json
from ..wording import Brief
from .effects import Changes, chance, changes, prediction
from .forward import Outcome, Outcomes
from .outcome_files import read_outcomes, write_outcomes
from .provenance import Provenance
from .result_rows import OUTCOMES, ChoiceRow, ClassRow, MethodRow, OutcomeSummary
from .unit_set import UnitChoice

if TYPE_CHECKING:
    import pandas

RECORD = "measured.json"
_KIND = "and-nnsight unlearning 1"


@dataclass(frozen=True, eq=False)
class Measurement(Brief):
    """Outcomes of some choices and of their controls on held-out clips.

    outcomes   of every choice, then of all draws of the first choice, of the second, and so on
    targets    the class, as a number, that each choice is to unlearn
    draws      how many random draws each choice has beside it, as many units of every site
    bootstrap  replicates of the intervals, drawn by `seed`
    provenance  of which model and data, with which settings
    """

    outcomes: Outcomes
    targets: Int64[np.ndarray, " choice"]
    draws: int
    bootstrap: int
    seed: int
    provenance: Provenance

    @property
    def choices(self) -> tuple[UnitChoice, ...]:
        """The choices, without their controls."""
        return self.outcomes.choices[: len(self.targets)]

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods of the choices, in the order in which they first come."""
        return tuple(dict.fromkeys(choice.method for choice in self.choices))

    def delta(self, outcome: str) -> Float64[np.ndarray, "variant clip"]:
        """What every choice and control changes of each clip's number: logit, probability or accuracy."""
        before, after = (_numbers(part, outcome) for part in (self.outcomes.baseline, self.outcomes.ablated))
        return after - before

    @cached_property
    def _weights(self) -> Int64[np.ndarray, "replicate clip"]:
        return clip_weights(self.outcomes.labels, self.bootstrap, self.seed)

    @cached_property
    def _changes(self) -> dict[str, Changes]:
        every = np.concatenate([self.targets, np.repeat(self.targets, self.draws)])
        return {name: changes(self.delta(name), self.outcomes.labels, every, self._weights) for name in OUTCOMES}

    def _controls(self, outcome: str) -> Changes:
        """A number's changes by the controls, [replicate, choice, draw]."""
        count = len(self.targets)
        return Changes(*(part[:, count:].reshape(len(part), count, self.draws) for part in self._changes[outcome]))

    def rows(self) -> Rows[ChoiceRow]:
        """What each choice does."""
        labels = self.outcomes.labels
        rows = [
            ChoiceRow(
                method=choice.method,
                concept=choice.concept,
                class_name=self.outcomes.classes[self.targets[place]],
                units=choice.count,
                clips=int((labels == self.targets[place]).sum()),
                other_clips=int((labels != self.targets[place]).sum()),
                **self._summaries([place]),
            )
            for place, choice in enumerate(self.choices)
        ]
        return Rows(rows, ChoiceRow)

    def to_pandas(self) -> pandas.DataFrame:
        """What each choice does, as a frame (`logit_own`, `logit_own_low` …). Raises ImportError without pandas."""
        return self.rows().to_pandas()

    def by_method(self) -> Rows[MethodRow]:
        """What each method does, its choices (classes) weighing the same: the paper's Table 4, with controls and
        intervals."""
        rows = []
        for method in self.methods:
            places = [place for place, choice in enumerate(self.choices) if choice.method == method]
            counts = [self.choices[place].count for place in places]
            rows.append(MethodRow(method, len(places), sum(counts) / len(counts), **self._summaries(places)))
        return Rows(rows, MethodRow)

    def _summaries(self, places: Sequence[int]) -> dict[str, OutcomeSummary]:
        return {outcome: self.summary(outcome, places) for outcome in OUTCOMES}

    def summary(self, outcome: str, places: Sequence[int]) -> OutcomeSummary:
        """What some choices, each weighing the same, change of a number."""
        changed = self._changes[outcome]
        own, others = changed.own[:, places].mean(1), changed.others[:, places].mean(1)
        of_choices = OutcomeSummary(estimate(own), estimate(others), estimate(others - own))
        return self._beside_controls(of_choices, outcome, places) if self.draws else of_choices

    def _beside_controls(self, of_choices: OutcomeSummary, outcome: str, places: Sequence[int]) -> OutcomeSummary:
        """The summary with that of the controls."""
        drawn = self._controls(outcome)
        own, others = drawn.own[:, places].mean((1, 2)), drawn.others[:, places].mean((1, 2))
        selectivity = self._changes[outcome].selectivity[:, places]
        both = np.concatenate([selectivity[:, :, None], drawn.selectivity[:, places]], 2)
        draws = both[0, :, 1:].mean(0)
        return replace(
            of_choices,
            control_own=estimate(own),
            control_others=estimate(others),
            control_selectivity=estimate(others - own),
            excess=prediction(both),
            draws=draws.tolist(),
            beaten=int((draws < of_choices.selectivity.value).sum()),
            p=chance(both[0], self.seed),
        )

    def by_class(self, place: int, outcome: str = "logit") -> Rows[ClassRow]:
        """What one choice does to every class's own clips, most harmed first."""
        labels, count = self.outcomes.labels, len(self.targets)
        before = _numbers(self.outcomes.baseline, outcome)
        delta = self.delta(outcome)
        drawn = slice(count + place * self.draws, count + (place + 1) * self.draws)
        rows = []
        for number in np.unique(labels):
            own = np.flatnonzero(labels == number)
            weights = self._weights[:, own] / len(own)
            change = estimate(weights @ delta[place, own])
            mean = float(before[own].mean())
            rows.append(
                ClassRow(
                    class_name=self.outcomes.classes[number],
                    target=bool(number == self.targets[place]),
                    clips=len(own),
                    before=mean,
                    after=mean + change.value,
                    change=change,
                    control=estimate(weights @ delta[drawn][:, own].mean(0)) if self.draws else None,
                )
            )
        return Rows(sorted(rows, key=lambda row: row.change.value), ClassRow)

    def to_json(self) -> dict[str, Any]:
        """Everything but the clips' numbers, as JSON."""
        return {
            "kind": _KIND,
            "about": self.provenance.to_json(),
            "accuracy": self.outcomes.accuracy(),
            "clips": len(self.outcomes.clips),
            "left_out": dict(self.outcomes.left_out),
            "classes": list(self.outcomes.classes),
            "targets": self.targets.tolist(),
            "draws": self.draws,
            "bootstrap": self.bootstrap,
            "seed": self.seed,
            "by_method": [row.to_json() for row in self.by_method()],
            "rows": [row.to_json() for row in self.rows()],
            "choices": [choice.to_json() for choice in self.outcomes.choices],
        }

    def save(self, folder: str | Path) -> None:
        """Write `measured.json` (settings, choices, tables), `clips.parquet` and `outcomes.parquet`, which has the
        numbers of every clip under every choice and draw (in the order of `choices`; −1: nothing ablated)."""
        folder = Path(folder).expanduser()
        make_folder(folder)
        write_outcomes(folder, self.outcomes)
        write_json(folder / RECORD, self.to_json())

    @classmethod
    def load(cls, folder: str | Path) -> Measurement:
        """Read what `save` wrote. Raises DissectionError for a folder that holds none, or a damaged one."""
        folder = Path(folder).expanduser()
        try:
            record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
            if record["kind"] != _KIND:
                raise ValueError(f"it is of the kind {record['kind']!r}")
            choices = [UnitChoice.from_json(choice) for choice in record["choices"]]
            outcomes = read_outcomes(folder, record["classes"], choices, record["left_out"])
            targets = np.array(record["targets"], dtype=np.int64)
            provenance = Provenance.from_json(record["about"])
            return cls(outcomes, targets, record["draws"], record["bootstrap"], record["seed"], provenance)
        except (OSError, ValueError, KeyError, TypeError, arrow.ArrowException) as error:
            raise DissectionError(f"{folder} holds no measured unlearning: {error}") from error


def _numbers(outcome: Outcome, name: str) -> Float64[np.ndarray, "*variant clip"]:
    return outcome.correct.astype(np.float64) if name == "accuracy" else getattr(outcome, name)
