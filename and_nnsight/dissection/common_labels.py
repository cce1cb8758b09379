"""What a unit's exemplars have in common, counted: the label that is over-represented among them.

Plain counting over a dissection's own labels: a first look. `and_nnsight.explain` says it in words.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .dissection import Dissection
from .exemplars import Exemplar


@dataclass(frozen=True)
class LabelCount:
    """A label that so many of a unit's exemplars share, and how common it is everywhere.

    count         exemplars with the label
    of            exemplars
    share_of_all  share of all clips that have it
    """

    label: str
    count: int
    of: int
    share_of_all: float

    @property
    def is_shared(self) -> bool:
        """Whether it is worth saying: one of several exemplars has some label, whatever they are."""
        return self.count > 1 or self.of == 1

    @property
    def excess(self) -> float:
        """Share among the exemplars minus share among all clips."""
        return self.count / self.of - self.share_of_all


class LabelCounter:
    """Counts the labels of a dissection once, then answers for any unit."""

    def __init__(self, dissection: Dissection) -> None:
        self._labels = Counter(row.label for row in dissection.clips.values() if row.label)
        self._clips = max(1, len(dissection.clips))

    def commonest(self, exemplars: Iterable[Exemplar]) -> LabelCount | None:
        """The commonest label among the exemplars that are evidence; None if none of these has a label."""
        return self.commonest_of([exemplar.label for exemplar in exemplars if exemplar.telling])

    def commonest_of(self, labels: Sequence[str | None]) -> LabelCount | None:
        """The commonest of the labels of some clips, the first in the alphabet among equals; None if there is none."""
        counts = Counter(label for label in labels if label)
        if not counts:
            return None
        label, count = min(counts.items(), key=lambda pair: (-pair[1], pair[0]))
        return LabelCount(label, count, len(labels), self._labels[label] / self._clips)
