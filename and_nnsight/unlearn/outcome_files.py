"""What a classifier says of clips, as files: `clips.parquet`, and `outcomes.parquet` with the numbers of every clip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as arrow
import pyarrow.parquet as parquet

from ..data import Clip
from ..dissection.table_row import TableRow
from ..storage import read_parquet, written_whole
from .classes import label_numbers
from .forward import Outcome, Outcomes
from .unit_set import UnitChoice

_NUMBERS = ("logit", "probability", "correct")
_CLIPS, _OUTCOMES = "clips.parquet", "outcomes.parquet"


@dataclass(frozen=True)
class MeasuredClipRow(Clip, TableRow):
    """A clip that was measured: a column for each field of `data.Clip`."""

    table: ClassVar[str] = "clips"
    key: ClassVar[tuple[str, ...]] = ("id",)

    @property
    def clip(self) -> Clip:
        """The clip."""
        return Clip(**asdict(self))


@dataclass(frozen=True)
class OutcomeRow(TableRow):
    """What the model says of a clip's true class with a choice ablated.

    choice  its place among all choices and draws; −1: nothing ablated
    clip    the clip's id
    """

    table: ClassVar[str] = "outcomes"
    key: ClassVar[tuple[str, ...]] = ("choice", "clip")

    choice: int
    clip: int
    logit: float
    probability: float
    correct: bool


def write_outcomes(folder: Path, outcomes: Outcomes) -> None:
    """Write both files. The rows of outcomes are so many that they are written as columns, by choice and clip."""
    clips = [MeasuredClipRow(**asdict(clip)) for clip in outcomes.clips]
    _write(folder / _CLIPS, MeasuredClipRow.to_arrow(clips))
    variants = len(outcomes.choices)
    ids = np.array([clip.id for clip in outcomes.clips], dtype=np.int64)
    columns = {"choice": np.repeat(np.arange(-1, variants), len(ids)), "clip": np.tile(ids, variants + 1)}
    for name in _NUMBERS:
        first, rest = getattr(outcomes.baseline, name), getattr(outcomes.ablated, name)
        columns[name] = np.concatenate([first[None], rest]).ravel()
    _write(folder / _OUTCOMES, arrow.table(columns, OutcomeRow.schema()))


def read_outcomes(
    folder: Path, classes: Sequence[str], choices: Sequence[UnitChoice], left_out: Mapping[str, int]
) -> Outcomes:
    """Read what `write_outcomes` wrote. Raises OSError, ValueError, KeyError or an arrow error for other files."""
    clips = tuple(row.clip for row in MeasuredClipRow.of_arrow(read_parquet(folder / _CLIPS)))
    table = read_parquet(folder / _OUTCOMES)
    logit, probability, correct = (table[name].to_numpy().reshape(-1, len(clips)) for name in _NUMBERS)
    return Outcomes(
        clips,
        label_numbers(clips, classes),
        tuple(classes),
        tuple(choices),
        Outcome(logit[0], probability[0], correct[0]),
        Outcome(logit[1:], probability[1:], correct[1:]),
        left_out,
    )


def _write(path: Path, table: arrow.Table) -> None:
    with written_whole(path) as temporary, temporary.open("wb") as file:
        parquet.write_table(table, file)
