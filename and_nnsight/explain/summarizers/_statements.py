"""Which of the phrases that a unit's captions share are said, and in which order."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from ..text.log_odds import Corpus, Shared
from ..text.phrases import parts

MOST = 3
"""Statements of one side of a unit."""
_PEER = 0.5  # of the highest z-score in a phrase: what its first and last word must reach


@dataclass(frozen=True)
class Statement:
    """Phrases that are told of the same captions.

    lead    the phrase that the statement is about
    keys    of all phrases that are over-represented and that all of these captions have, the lead among them
    having  the captions, by place
    """

    lead: Shared
    keys: tuple[int, ...]
    having: frozenset[int]


def statements(found: Sequence[Shared], corpus: Corpus) -> list[Statement]:
    """What is said of captions, the most telling first: at most `MOST` statements, each of captions of its own.

    The first is what tells the unit best from its layer (the highest gain). A further one must hold of a caption of
    which nothing was said yet. What only some of the captions with another phrase have is told if it is over-represented
    among all captions with that other: where all five are speech, that three are Spanish is not told if a fourth of all
    speech is. Phrases of spoken words come last.
    """
    words = {one.key: one.z for one in found if len(parts(one.key)) == 1}
    whole = [one for one in found if _is_whole(one, words)]
    telling = [one for one in whole if all(corpus.adds(one, other) for other in whole)]
    chosen: list[Statement] = []
    covered: frozenset[int] = frozenset()
    for lead in sorted(telling, key=lambda one: _order(one, corpus)):
        if len(chosen) < MOST and lead.having - covered:
            keys = tuple(one.key for one in found if one.having >= lead.having)
            chosen.append(Statement(lead, keys, lead.having))
            covered |= lead.having
    return chosen


def _is_whole(one: Shared, words: Mapping[int, float]) -> bool:
    """Whether nothing trails along in a phrase: it begins and ends with words that are over-represented themselves.

    Or none of its words is, only all of them together.
    """
    telling = [words[word] for word in parts(one.key) if word in words]
    edges: Collection[int] = parts(one.key)[:: max(1, len(parts(one.key)) - 1)]
    return not telling or all(words.get(edge, 0.0) >= _PEER * max(telling) for edge in edges)


def _order(one: Shared, corpus: Corpus) -> tuple[float, ...]:
    return (corpus.phrases.is_spoken(one.key), -round(one.gain, 6), -len(parts(one.key)), -one.z, one.key)
