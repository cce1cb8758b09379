"""What was measured of choices of units beside their random controls: tables with intervals, and a folder of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as arrow
import pyarrow.parquet as parquet
from jaxtyping import Float64, Int64

from ..data import Clip
from ..dissection.errors import DissectionError
from ..statistics.bootstrap import clip_weights, estimate
from ..storage import read_parquet, write_json, written_whole
from ..wording import Brief
from .effects import Changes, chance, changes, prediction
from .forward import Outcome, Outcomes
from .unit_set import UnitChoice

OUTCOMES = ("logit", "probability", "accuracy")
RECORD = "measured.json"
_KIND = "and-nnsight unlearning 1"
Row = dict[str, Any]
_NO_DRAWS: Row = {"draws": [], "beaten": 0, "p": None}


@dataclass(frozen=True, eq=False)
class Measurement(Brief):
    """Outcomes of some choices and of their controls on held-out clips.

    outcomes   of every choice, then of all draws of the first choice, of the second, and so on
    targets    the class, as a number, that each choice is to unlearn
    draws      how many random draws each choice has beside it, as many units of every site
    bootstrap  replicates of the intervals, drawn by `seed`
    about      model, data and settings, as JSON
    """

    outcomes: Outcomes
    targets: Int64[np.ndarray, " choice"]
    draws: int
    bootstrap: int
    seed: int
    about: Mapping[str, Any]

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

    def _controls(self, outcome: str) -> dict[str, Float64[np.ndarray, "replicate choice draw"]]:
        """A number's changes by the controls, own and others."""
        count = len(self.targets)
        both = self._changes[outcome]._asdict()
        return {name: part[:, count:].reshape(len(part), count, self.draws) for name, part in both.items()}

    def rows(self) -> list[Row]:
        """A row a choice: method, concept, class, its number of units and of own and other clips, and for each of
        logit, probability and accuracy what `summary` says."""
        return [
            {
                "method": choice.method,
                "concept": choice.concept,
                "class": self.outcomes.classes[self.targets[place]],
                "units": choice.count,
                "clips": int((self.outcomes.labels == self.targets[place]).sum()),
                "other_clips": int((self.outcomes.labels != self.targets[place]).sum()),
                **{outcome: self.summary(outcome, [place]) for outcome in OUTCOMES},
            }
            for place, choice in enumerate(self.choices)
        ]

    def by_method(self) -> list[Row]:
        """A row a method, its choices (classes) weighing the same: the paper's Table 4, with controls and intervals."""
        rows = []
        for method in self.methods:
            places = [place for place, choice in enumerate(self.choices) if choice.method == method]
            counts = [self.choices[place].count for place in places]
            rows.append(
                {
                    "method": method,
                    "classes": len(places),
                    "units": sum(counts) / len(counts),
                    **{outcome: self.summary(outcome, places) for outcome in OUTCOMES},
                }
            )
        return rows

    def summary(self, outcome: str, places: Sequence[int]) -> Row:
        """What some choices, each weighing the same, change of a number, as estimates {value, low, high}.

        own, others, selectivity  of the choices: change on own clips, on all others, and others minus own
        control_…                 the same of their controls, the mean over draws
        excess                    selectivity beyond that of the controls, paired, with a prediction interval over draws
                                  and clips (`effects.prediction`): that of random units excludes zero in 5 of 100 cases
        draws                     the selectivity of each draw
        beaten                    how many of the draws have a lower selectivity
        p                         how often random units would be as selective, by exchanging choices with their draws.
                                  None without draws
        """
        changed, drawn = self._changes[outcome], self._controls(outcome)
        parts = {"own": changed.own[:, places].mean(1), "others": changed.others[:, places].mean(1)}
        parts["selectivity"] = parts["others"] - parts["own"]
        if not self.draws:
            return {**{name: estimate(part)._asdict() for name, part in parts.items()}, **_NO_DRAWS}
        for name, part in drawn.items():
            parts[f"control_{name}"] = part[:, places].mean((1, 2))
        parts["control_selectivity"] = parts["control_others"] - parts["control_own"]
        own = (changed.others - changed.own)[:, places]
        both = np.concatenate([own[:, :, None], (drawn["others"] - drawn["own"])[:, places]], 2)
        draws = both[0, :, 1:].mean(0)
        return {
            **{name: estimate(part)._asdict() for name, part in parts.items()},
            "excess": prediction(both)._asdict(),
            "draws": draws.tolist(),
            "beaten": int((draws < parts["selectivity"][0]).sum()),
            "p": chance(both[0], self.seed),
        }

    def by_class(self, place: int, outcome: str = "logit") -> list[Row]:
        """What one choice does to every class's own clips (the paper's Fig. 10), most harmed first.

        A row a class: its clips, the mean number before and after, the change as an estimate, and that of the controls
        (mean over draws).
        """
        labels, count = self.outcomes.labels, len(self.targets)
        before = _numbers(self.outcomes.baseline, outcome)
        delta = self.delta(outcome)
        drawn = slice(count + place * self.draws, count + (place + 1) * self.draws)
        rows = []
        for number in np.unique(labels):
            own = np.flatnonzero(labels == number)
            weights = self._weights[:, own] / len(own)
            change = estimate(weights @ delta[place, own])
            row: Row = {
                "class": self.outcomes.classes[number],
                "target": bool(number == self.targets[place]),
                "clips": len(own),
                "before": float(before[own].mean()),
                "after": float(before[own].mean()) + change.value,
                "change": change._asdict(),
            }
            if self.draws:
                row["control"] = estimate(weights @ delta[drawn][:, own].mean(0))._asdict()
            rows.append(row)
        return sorted(rows, key=lambda row: row["change"]["value"])

    def to_json(self) -> Row:
        """Everything but the clips' numbers, as JSON."""
        return {
            "kind": _KIND,
            "about": dict(self.about),
            "accuracy": self.outcomes.accuracy(),
            "clips": len(self.outcomes.clips),
            "left_out": dict(self.outcomes.left_out),
            "classes": list(self.outcomes.classes),
            "targets": self.targets.tolist(),
            "draws": self.draws,
            "bootstrap": self.bootstrap,
            "seed": self.seed,
            "by_method": self.by_method(),
            "rows": self.rows(),
            "choices": [choice.to_json() for choice in self.outcomes.choices],
        }

    def save(self, folder: str | Path) -> None:
        """Write `measured.json` (settings, choices, tables), `clips.parquet` and `outcomes.parquet`, which has the
        numbers of every clip under every choice and draw (in the order of `choices`; −1: nothing ablated)."""
        folder = Path(folder).expanduser()
        folder.mkdir(parents=True, exist_ok=True)
        clips = [asdict(clip) for clip in self.outcomes.clips]
        _write(folder / "clips.parquet", arrow.Table.from_pylist(clips))
        both = (self.outcomes.baseline, self.outcomes.ablated)
        variants = len(self.outcomes.choices)
        ids = np.array([clip.id for clip in self.outcomes.clips], dtype=np.int64)
        columns: dict[str, np.ndarray] = {
            "choice": np.repeat(np.arange(-1, variants), len(ids)),
            "clip": np.tile(ids, variants + 1),
        }
        for name in ("logit", "probability", "correct"):
            first, rest = (getattr(part, name) for part in both)
            columns[name] = np.concatenate([first[None], rest]).ravel()
        _write(folder / "outcomes.parquet", arrow.table(columns))
        write_json(folder / RECORD, self.to_json())

    @classmethod
    def load(cls, folder: str | Path) -> Measurement:
        """Read what `save` wrote. Raises DissectionError for a folder that holds none, or a damaged one."""
        folder = Path(folder).expanduser()
        try:
            record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
            if record["kind"] != _KIND:
                raise ValueError(f"it is of the kind {record['kind']!r}")
            clips = tuple(Clip(**row) for row in read_parquet(folder / "clips.parquet").to_pylist())
            table = read_parquet(folder / "outcomes.parquet")
            classes = tuple(record["classes"])
            shape = (-1, len(clips))
            logit, probability, correct = (
                table[name].to_numpy().reshape(shape) for name in ("logit", "probability", "correct")
            )
        except (OSError, ValueError, KeyError, TypeError, arrow.ArrowException) as error:
            raise DissectionError(f"{folder} holds no measured unlearning: {error}") from error
        from .classes import label_numbers

        outcomes = Outcomes(
            clips,
            label_numbers(clips, classes),
            classes,
            tuple(UnitChoice.from_json(choice) for choice in record["choices"]),
            Outcome(logit[0], probability[0], correct[0]),
            Outcome(logit[1:], probability[1:], correct[1:]),
            record["left_out"],
        )
        targets = np.array(record["targets"], dtype=np.int64)
        return cls(outcomes, targets, record["draws"], record["bootstrap"], record["seed"], record["about"])


def _numbers(outcome: Outcome, name: str) -> Float64[np.ndarray, "*variant clip"]:
    return outcome.correct.astype(np.float64) if name == "accuracy" else getattr(outcome, name)


def _write(path: Path, table: arrow.Table) -> None:
    with written_whole(path) as temporary, temporary.open("wb") as file:
        parquet.write_table(table, file)
