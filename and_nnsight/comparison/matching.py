"""Counterparts: for each unit the one of the other dissection that answers to the same clips most, and the p of that.

Every correlation of every pair is looked at once, in blocks, and never kept. The p covers the choice: a unit is held
against units of its own kind that answer to random clips (its row, the clips in a random order), each with the best
counterpart that it finds. p = (1 + random ones as good) / (1 + random ones): never 0, never too small (Phipson & Smyth
2010). The distribution of that best depends on a unit by its spread alone (see `Responses`), so that units of like
spread share theirs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int64

from .responses import AT_ONCE, Interval, Nearest, Responses

_BLOCK = AT_ONCE
_BYTES = 256 << 20  # of the rows that are held against all others
_DRAWS_A_UNIT, _FEWEST_DRAWS, _MOST_DRAWS = 20, 2_000, 20_000
_STEP = 1.25  # spreads within which units share random ones


@dataclass(frozen=True, eq=False)
class Counterparts:
    """Of each unit the number of its counterpart (the first among equals), the correlation, and p.

    in_place  the correlation with the unit of the same name; NaN where there is none
    """

    other: Int64[np.ndarray, " unit"]
    correlation: Float64[np.ndarray, " unit"]
    p: Float64[np.ndarray, " unit"]
    interval: Interval
    in_place: Float64[np.ndarray, " unit"]


def counterparts(first: Responses, second: Responses, least: float, seed: int) -> tuple[Counterparts, Counterparts]:
    """Of the units of both, in the other. Both have a unit at least."""
    ours, theirs = _Best(len(first)), _Best(len(second))
    for mine in _parts(len(first), first.bytes_a_unit):
        rows = first.rows(mine)
        for others in _parts(len(second), 0):
            near = first.nearest(rows, second.rows(others))
            ours.take(mine, others, near[0])
            theirs.take(others, mine, near[1])
    return _tested(first, second, ours, least, [seed, 0]), _tested(second, first, theirs, least, [seed, 1])


class _Best:
    """The best counterpart of each unit so far."""

    def __init__(self, units: int) -> None:
        self.other = np.zeros(units, np.int64)
        self.correlation = np.full(units, -np.inf, np.float32)

    def take(self, units: Int64[np.ndarray, " unit"], others: Int64[np.ndarray, " other"], near: Nearest) -> None:
        """Take note of a block; blocks of others come in ascending order."""
        better = near.correlation > self.correlation[units]
        self.other[units[better]] = others[near.place[better]]
        self.correlation[units[better]] = near.correlation[better]


def _parts(count: int, bytes_each: int) -> Iterator[Int64[np.ndarray, " unit"]]:
    """Consecutive numbers, so many at once as there is room for; 0: as many as are multiplied at once."""
    size = max(_BLOCK, _BYTES // bytes_each) if bytes_each else _BLOCK
    yield from np.array_split(np.arange(count), -(-count // size))


def _tested(mine: Responses, others: Responses, best: _Best, least: float, seed: list[int]) -> Counterparts:
    return Counterparts(
        best.other, best.correlation.astype(np.float64), _p(mine, others, best, seed),
        _intervals(mine, others, best, least), _in_place(mine, others),
    )  # fmt: skip


def _p(mine: Responses, others: Responses, best: _Best, seed: list[int]) -> Float64[np.ndarray, " unit"]:
    random = np.random.default_rng(seed)
    kinds = np.floor(np.log(mine.spread) / np.log(_STEP)).astype(np.int64)
    p = np.ones(len(mine))
    for kind in np.unique(kinds):
        units = np.flatnonzero(kinds == kind)
        draws = int(np.clip(_DRAWS_A_UNIT * len(units), _FEWEST_DRAWS, _MOST_DRAWS))
        null = np.sort(_best_of_random(mine, others, random.choice(units, draws), random))
        reached = draws - np.searchsorted(null, best.correlation[units], side="left")
        p[units] = (1 + reached) / (1 + draws)
    return p


def _best_of_random(
    mine: Responses, others: Responses, like: Int64[np.ndarray, " draw"], random: np.random.Generator
) -> Float32[np.ndarray, " draw"]:
    """The correlation with the best counterpart of units like these that answer to random clips."""
    best = np.full(len(like), -np.inf, np.float32)
    for part in _parts(len(like), mine.bytes_a_unit):
        rows = mine.shuffled(like[part], random)
        for block in _parts(len(others), 0):
            best[part] = np.maximum(best[part], mine.highest(rows, others.rows(block)))
    return best


def _intervals(mine: Responses, others: Responses, best: _Best, least: float) -> Interval:
    parts = []
    for part in _parts(len(mine), 0):
        other = best.other[part]
        spread = np.minimum(mine.spread[part], others.spread[other])
        parts.append(mine.interval(mine.rows(part), others.rows(other), spread, least))
    return Interval(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("low", "high", "p_below")))


def _in_place(mine: Responses, others: Responses) -> Float64[np.ndarray, " unit"]:
    """The correlation of each unit with the other of its name; NaN where there is none."""
    number = {at: place for place, at in enumerate(others.units)}
    same = np.array([number.get(at, -1) for at in mine.units], np.int64)
    correlations = np.full(len(mine), np.nan)
    shared = np.flatnonzero(same >= 0)
    for part in _parts(len(shared), 0) if len(shared) else ():
        units = shared[part]
        correlations[units] = mine.paired(mine.rows(units), others.rows(same[units]))
    return correlations
