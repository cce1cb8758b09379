"""What a selector is asked for and what it answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from jaxtyping import Float
from torch import Tensor

from ...dissection.dissection import Dissection

Keys = dict[tuple[str, int], tuple[float, ...]]
"""What each unit that a method finds is ranked by, highest first."""


class RankedUnits(NamedTuple):
    """The keys of the units that a method ranks, and what it went by, as JSON.

    default_units  those that the method takes where no number is asked for; None: all
    """

    keys: Keys
    settings: dict[str, Any]
    default_units: frozenset[tuple[str, int]] | None = None


@dataclass(frozen=True)
class ConceptQuery:
    """The units that go with a concept, among those of some sites.

    concept     as it was asked for
    widths      how many units each site has
    top         labels: the concept is among so many
    words       ocp: ways to say the concept; None: its name
    similarity, encoder   which labels, or which correlation; None: the only kind, or the usual one
    """

    concept: str
    widths: Mapping[str, int]
    top: int = 3
    words: tuple[str, ...] | None = None
    similarity: str | None = None
    encoder: str | None = None


def known_classes(dissection: Dissection) -> tuple[str, ...]:
    """The classes that a dissection knows of: the concepts of the run, and the labels of its clips."""
    concepts = () if dissection.concepts is None else dissection.concepts.names
    labels = sorted({row.label for row in dissection.clips.values() if row.label is not None})
    return tuple(dict.fromkeys((*concepts, *labels)))


def site_keys(site: str, parts: Iterable[Float[Tensor, " unit"]]) -> Keys:
    """The keys of a site's units, from one column a part; units with a NaN in any part are left out."""
    rows = zip(*(part.tolist() for part in parts), strict=True)
    return {(site, unit): row for unit, row in enumerate(rows) if all(value == value for value in row)}
