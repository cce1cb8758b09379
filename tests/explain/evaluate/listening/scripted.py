"""Listeners that are right as often as they are told to be, and what they hear."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from and_nnsight import Dissection
from and_nnsight.explain.evaluate.claims import Claim, claims
from and_nnsight.explain.evaluate.listening.asking import listen
from and_nnsight.explain.evaluate.listening.audition import Audition
from and_nnsight.explain.evaluate.listening.plans import Design, plans
from and_nnsight.explain.records.claim_rows import ListeningRow
from and_nnsight.explain.roles import Failure, Question
from tests.explain.audible_dissection import RATE, clip_of
from tests.explain.scored_dissection import OTHER

MANY = 302
SHARE = 0.1
_NUMBER = re.compile(r"number (\d+)")


def said_of(unit: int) -> str:
    return f"Sound number {unit} (5 of 5)."


@lru_cache
def intruders_of(folder: str) -> dict[tuple[int, ...], int]:
    """The place of the intruder in every line-up."""
    held_out = Dissection.load(folder)
    made = [Claim(OTHER, unit, "explanation", said_of(unit)) for unit in range(held_out.widths()[OTHER])]
    clips = list(held_out.clips)
    every = [
        plan
        for excerpts in (10, 20)
        for plan in plans(held_out, made, clips, Design(share=SHARE, excerpts=excerpts, others=1), None)
    ]
    return {line_up.clips: line_up.place for plan in every for line_up in plan.trials.line_ups}


class Scripted:
    """Knows which unit a statement names and on which clips it fires, and is right of a clip with a chance `right`."""

    name, sampling_rate, threshold = "scripted", RATE, 0.5
    cheap_statements = False

    def __init__(self, held_out: Dissection, right: float = 1.0, lined_up: float = 1.0, seed: int = 0) -> None:
        values = np.asarray(held_out.activations(OTHER))
        self.fires = values >= np.sort(values, 0)[-round(SHARE * len(values))]
        self.key = intruders_of(str(held_out.folder))
        self.right, self.lined_up, self.seed = right, lined_up, seed
        self.questions: list[tuple[str | None, tuple[int, ...]]] = []

    def fits(self, questions: Sequence[Question]) -> Iterator[list[float] | Failure]:
        for question in questions:
            clips = tuple(clip_of(samples) for samples in question.clips)
            self.questions.append((question.statement, clips))
            yield self.belonging(clips) if question.statement is None else self.fitting(question.statement, clips)

    def fitting(self, statement: str, clips: tuple[int, ...]) -> list[float]:
        number = _NUMBER.search(statement)
        assert number is not None
        if int(number[1]) >= MANY:
            return [0.0] * len(clips)
        true = self.fires[list(clips), int(number[1])]
        return [
            float(fires == (self.chance(statement, clip) < self.right)) for fires, clip in zip(true, clips, strict=True)
        ]

    def belonging(self, clips: tuple[int, ...]) -> list[float]:
        """Which unit is meant it is not told, and of 300 others some fire on four of the five: it has a key."""
        intruder = self.key[clips]
        chance = self.chance("", *clips)
        if chance >= self.lined_up:
            intruder = (intruder + 1 + int(1e6 * chance) % 4) % 5
        return [float(place != intruder) for place in range(5)]

    def chance(self, *of: object) -> float:
        key = hashlib.blake2b(repr((self.seed, *of)).encode(), digest_size=8).digest()
        return int.from_bytes(key, "little") / 2**64


class Guessing(Scripted):
    """Answers at random."""

    def fitting(self, statement: str, clips: tuple[int, ...]) -> list[float]:
        return [self.chance(statement, clip) for clip in clips]

    def belonging(self, clips: tuple[int, ...]) -> list[float]:
        return [self.chance(None, *clips, clip) for clip in clips]


def heard(
    pair: tuple[Dissection, Dissection], listener: Any, units: Sequence[int] | None = None, **design: Any
) -> dict[int, ListeningRow]:
    """The rows of OTHER, by unit."""
    explained, held_out = pair
    audition = Audition(listener, listener.name, held_out, list(held_out.clips))
    some = None if units is None else [(OTHER, unit) for unit in units]
    whole = Design(**{"share": SHARE, "excerpts": 10, **design})
    rows = listen(explained, claims(explained), audition, whole, units=some, progress=False)
    return {row.unit: row for row in rows if row.site == OTHER}
