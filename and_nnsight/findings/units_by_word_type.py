"""Choices of the units whose explanations have most words of a type, or of all, and random ones matched to each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int64

from ..dissection.dissection import Dissection
from .word_units import KINDS, Explained

if TYPE_CHECKING:
    from ..unlearn import UnitChoice


@dataclass(frozen=True)
class RichUnits:
    """The units richest in one of `units.KINDS` of words, by the share of all that was asked for.

    units, rich, words   how many were asked for, how many have such a word at all, and how many words the chosen have
    pairs   a choice a draw, with its control; none where fewer units have such a word than were asked for
    """

    part: str
    asked: float
    units: int
    rich: int
    words: float | None
    pairs: tuple[tuple[UnitChoice, UnitChoice], ...]


def rich_units(
    found: Dissection, said: Explained, part: str, shares: Sequence[float], draws: int, seed: int
) -> list[RichUnits]:
    """A choice a share: the units with most distinct words of a type, those with equally many in random order.

    Larger shares of one draw hold the smaller ones. A draw's control is random units, as many at every site.
    """
    from ..unlearn import UnitChoice, matched

    counts = said.words[part]
    at = [
        (site, unit) for site, width in zip(said.chosen.sites, said.chosen.widths, strict=True) for unit in range(width)
    ]
    orders = [_order(counts, np.random.default_rng([seed, draw, KINDS.index(part)])) for draw in range(draws)]
    rich = int((counts > 0).sum())
    found_out: list[RichUnits] = []
    for share in shares:
        units = round(share * len(counts))
        if not 0 < units <= rich:
            found_out.append(RichUnits(part, share, units, rich, None, ()))
            continue
        pairs = []
        for draw, order in enumerate(orders):
            choice = UnitChoice.of((at[place] for place in order[:units]), method=f"rich by {part}")
            pairs.append((choice, matched(choice, found, seed + draw)))
        words = float(counts[orders[0][:units]].mean())
        found_out.append(RichUnits(part, share, units, rich, words, tuple(pairs)))
    return found_out


def _order(counts: Int64[np.ndarray, " unit"], generator: np.random.Generator) -> Int64[np.ndarray, " unit"]:
    """Units by their counts, the highest first, equal ones in random order."""
    return np.lexsort((generator.permutation(len(counts)), -counts)).astype(np.int64)
