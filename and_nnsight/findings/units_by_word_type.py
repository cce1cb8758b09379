"""Choices of the units whose explanations have most words of a type, or of all, and random ones matched to each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int64

from ..dissection.dissection import Dissection
from .explanations import Explanations
from .names import KINDS

if TYPE_CHECKING:
    from ..unlearn import UnitChoice


@dataclass(frozen=True)
class RichUnits:
    """The units richest in one of `names.KINDS` of words, by the share of all that was asked for.

    units, rich, words   how many were asked for, how many have such a word at all, and how many words the chosen have
    pairs   a choice a draw, with its control; none where fewer units have such a word than were asked for
    """

    part: str
    wanted_share: float
    units: int
    rich: int
    words: float | None
    pairs: tuple[tuple[UnitChoice, UnitChoice], ...]


def rich_units(
    dissection: Dissection, explanations: Explanations, part: str, shares: Sequence[float], draws: int, seed: int
) -> list[RichUnits]:
    """A choice a share: the units with most distinct words of a type, those with equally many in random order.

    Larger shares of one draw hold the smaller ones. A draw's control is random units, as many at every site.
    """
    from ..unlearn import UnitChoice, matched

    counts, selection = explanations.words[part], explanations.selection
    at = list(selection.every_unit())
    orders = [_order(counts, np.random.default_rng([seed, draw, KINDS.index(part)])) for draw in range(draws)]
    rich = int((counts > 0).sum())
    groups: list[RichUnits] = []
    for share in shares:
        units = round(share * len(counts))
        if not 0 < units <= rich:
            groups.append(RichUnits(part, share, units, rich, None, ()))
            continue
        pairs = []
        for draw, order in enumerate(orders):
            choice = UnitChoice.of((at[place] for place in order[:units]), method=f"rich by {part}")
            pairs.append((choice, matched(choice, dissection, seed + draw)))
        words = float(counts[orders[0][:units]].mean())
        groups.append(RichUnits(part, share, units, rich, words, tuple(pairs)))
    return groups


def _order(counts: Int64[np.ndarray, " unit"], generator: np.random.Generator) -> Int64[np.ndarray, " unit"]:
    """Units by their counts, the highest first, equal ones in random order."""
    return np.lexsort((generator.permutation(len(counts)), -counts)).astype(np.int64)
