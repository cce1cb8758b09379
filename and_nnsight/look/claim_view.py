"""What is claimed of a unit, as it is shown: the words, and in plain language how they did when they were tested."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from itertools import groupby

from ..explain.evaluate.verdicts import ACOUSTICS, Verdict
from ..explain.labels.concept_lists import concept_text
from ..explain.read.unit_card import Card, Concept, Label

MOST_LABELS = 3
MOST_WORDS = 8
_ADJECTIVES = {True: "acoustic adjectives", False: "other adjectives"}
_PARTS = {"noun": "nouns", "verb": "verbs"}


class Standing(Enum):
    """How a claim stands: its name in a page's filter, a word for it, and what that means."""

    HOLDS = (
        "holds",
        "holds",
        f"On clips it was not made from, it tells this unit's clips, and more than {ACOUSTICS} do.",
    )
    PREDICTS = (
        "predicts", "only acoustics",
        f"On clips it was not made from, it tells this unit's clips, but not more than {ACOUSTICS} do.",
    )  # fmt: skip
    FAILS = ("fails", "does not hold", "On clips it was not made from, it does not tell this unit's clips.")
    UNJUDGED = ("unjudged", "not judged", "It could not be put to the test.")
    UNTESTED = ("untested", "not tested", "It was not tested on clips that it was not made from (and-nnsight score).")

    def __init__(self, key: str, word: str, meaning: str) -> None:
        self.key, self.word, self.meaning = key, word, meaning

    @classmethod
    def of(cls, verdict: Verdict | None) -> Standing:
        """Of a claim with this verdict."""
        if verdict is None:
            return cls.UNTESTED
        if verdict.failure is not None:
            return cls.UNJUDGED
        if not verdict.predicts:
            return cls.FAILS
        return cls.HOLDS if verdict.holds else cls.PREDICTS


@dataclass(frozen=True)
class ClaimView:
    """A claim about a unit.

    source      explanation, concepts, or of a label
    title       what kind of claim it is
    text        what is claimed; of a label the first one
    others      what comes next in the same list of labels, with scores
    score       of a label
    standing    how it did on held-out clips
    evidence    the numbers behind that, in sentences; None where it was not tested
    by_ear      what a listener heard of it, in sentences, and who listened
    """

    source: str
    title: str
    text: str
    standing: Standing
    evidence: str | None
    by_ear: str | None
    score: float | None = None
    others: tuple[tuple[str, float], ...] = ()


def explanation_view(card: Card) -> ClaimView | None:
    """The unit in words; None where there are none. What was not calibrated says so."""
    if card.calibrated:
        return _claim(card, "explanation", "In words", card.calibrated)
    if card.calibrated is None and card.summary:
        return _claim(card, "explanation", "In words, not calibrated", card.summary)
    return None


def label_views(card: Card) -> Iterator[ClaimView]:
    """The first labels by each way of labelling."""
    for source, labels in groupby(card.labels, key=lambda label: label.source):
        first, *others = list(labels)[:MOST_LABELS]
        named = tuple((_name(label), label.score) for label in others)
        yield _claim(card, source, _label_title(first), _name(first), first.score, named)


@dataclass(frozen=True)
class WordsView:
    """Open concepts of one part of speech, commonest first. `part`: adjectives, nouns, verbs, or others."""

    part: str
    words: tuple[str, ...]


def word_views(card: Card) -> Iterator[WordsView]:
    """The open concepts drawn out of a unit's summary; those adjectives apart that are not of sound by themselves.

    Prepositions, which say nothing alone, are left out.
    """
    by_title: dict[str | None, list[Concept]] = {}
    for concept in card.concepts:
        by_title.setdefault(_words_title(concept), []).append(concept)
    for title in (*_ADJECTIVES.values(), *_PARTS.values()):
        if title in by_title:
            yield WordsView(title, _words(by_title[title]))


def _words_title(concept: Concept) -> str | None:
    if concept.part == "adjective":
        return _ADJECTIVES[concept.acoustic is not False]
    return _PARTS.get(concept.part)


def _words(concepts: list[Concept]) -> tuple[str, ...]:
    """The commonest words among concepts."""
    ranked = sorted(concepts, key=lambda each: (-each.count, each.word))
    return tuple(each.word for each in ranked[:MOST_WORDS])


def words_claim(card: Card) -> ClaimView | None:
    """How the open concepts together did, if they were tested."""
    if "concepts" not in card.verdicts and "concepts" not in card.listening:
        return None
    return _claim(card, "concepts", "Open concepts", ", ".join(each.word for each in card.concepts))


def _claim(
    card: Card,
    source: str,
    title: str,
    text: str,
    score: float | None = None,
    others: tuple[tuple[str, float], ...] = (),
) -> ClaimView:
    verdict, heard = card.verdicts.get(source), card.listening.get(source)
    return ClaimView(
        source=source,
        title=title,
        text=text,
        standing=Standing.of(verdict),
        evidence=None if verdict is None else str(verdict),
        by_ear=None if heard is None else f"By ear ({heard.listener}): {heard}",
        score=score,
        others=others,
    )


def _name(label: Label) -> str:
    return concept_text(label.concept)


def _label_title(label: Label) -> str:
    by = f"{label.method} with {label.encoder}" if label.encoder else label.method
    return f"Label by {by}, {label.similarity}, {label.basis}"
