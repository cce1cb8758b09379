"""What a unit's exemplars have in common, counted: labels and caption words that are over-represented among them.

Plain counting over a dissection's own labels and captions, without a language model: a first look, not an explanation.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from .dissection import Dissection, Exemplar

_WORD = re.compile(r"[^\W\d_][\w'-]*")
_MINIMUM_LETTERS = 3
_FUNCTION_WORDS = frozenset(
    {
        "about",
        "and",
        "are",
        "but",
        "for",
        "from",
        "has",
        "into",
        "its",
        "not",
        "off",
        "one",
        "over",
        "that",
        "the",
        "this",
    }
    | {"under", "was", "were", "which", "while", "with"}
)


@dataclass(frozen=True)
class Common:
    """Something that so many of a unit's exemplars share: a label or a word, and how common it is everywhere."""

    what: str
    count: int
    of: int
    share_of_all: float

    @property
    def excess(self) -> float:
        """Share among the exemplars minus share among all clips."""
        return self.count / self.of - self.share_of_all


class Commonalities:
    """Counts labels and words over a dissection once, then answers for any unit."""

    def __init__(self, found: Dissection) -> None:
        self._labels = Counter(row["label"] for row in found.clips.values() if row["label"])
        self._words = Counter(word for row in found.clips.values() for word in words(row["caption"]))
        self._clips = max(1, len(found.clips))

    def label(self, exemplars: Iterable[Exemplar]) -> Common | None:
        """The label most over-represented among the exemplars; None if they have no labels."""
        exemplars = list(exemplars)
        found = self._over_represented([e.label] if e.label else [] for e in exemplars)
        return self._common(found[0], self._labels, len(exemplars)) if found else None

    def words(self, exemplars: Iterable[Exemplar], most: int = 3) -> list[Common]:
        """Caption words that most exemplars share and few other clips do, most over-represented first."""
        exemplars = list(exemplars)
        found = self._over_represented(words(exemplar.caption) for exemplar in exemplars)
        common = [self._common(item, self._words, len(exemplars)) for item in found]
        kept = [item for item in common if 2 * item.count >= item.of and item.excess > 0]
        return sorted(kept, key=lambda item: (-item.excess, item.what))[:most]

    def _over_represented(self, things: Iterable[Iterable[str]]) -> list[tuple[str, int]]:
        counted = Counter(thing for of_one in things for thing in of_one)
        return sorted(counted.items(), key=lambda pair: (-pair[1], pair[0]))

    def _common(self, pair: tuple[str, int], everywhere: Counter[str], of: int) -> Common:
        return Common(pair[0], pair[1], of, everywhere[pair[0]] / self._clips)


def words(caption: str | None) -> set[str]:
    """The words of a caption, lower-cased, without the shortest and the commonest function words."""
    found = _WORD.findall((caption or "").lower())
    return {word for word in found if len(word) >= _MINIMUM_LETTERS and word not in _FUNCTION_WORDS}
