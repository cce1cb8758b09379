"""What a unit's card says in words: its summary, concepts and labels, how they did on held-out clips, what failed."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from rich.console import Console
from rich.padding import Padding

from ._output import clean

if TYPE_CHECKING:
    from ..explain import Card
    from ..explain.read.unit_card import Label

_MOST_WORDS = 8
_MOST_LABELS = 3
_WORD_NAMES = {"adjective": "Acoustic adjectives", "noun": "Nouns", "verb": "Verbs"}


def print_text(console: Console, card: Card) -> None:
    """Print all that has been said of a unit."""
    highly, lowly = card.unsaid
    _print_summary(console, card, highly)
    for sentence, lowly, similarity in card.dropped:
        _paragraph(console, f"Dropped (similarity {similarity:.2f})", f"{sentence}  ~  {lowly}")
    if card.lowly:
        _paragraph(console, "Of the clips it responds least to", card.lowly)
    elif lowly is not None:
        _paragraph(console, "Of the clips it responds least to", f"nothing: {lowly}")
    _print_concepts(console, card)
    _print_labels(console, card)
    _print_firing(console, card)
    _print_effects(console, card)
    _print_failures(console, card)


def _print_summary(console: Console, card: Card, unsaid: str | None) -> None:
    if card.calibrated:
        _paragraph(console, "In words", card.calibrated)
        _print_verdict(console, card, "explanation")
    elif card.calibrated == "":
        _paragraph(console, "In words", "nothing is left that is not true of the clips it responds least to.")
    elif card.summary:
        _paragraph(console, "In words, not calibrated", card.summary)
        _print_verdict(console, card, "explanation")
    elif unsaid is not None:
        _paragraph(console, "In words", f"nothing: {unsaid}")


def _print_concepts(console: Console, card: Card) -> None:
    """The open concepts by part of speech, commonest first; adjectives that are not acoustic by themselves."""
    for part, name in _WORD_NAMES.items():
        of_part = [concept for concept in card.concepts if concept.part == part]
        of_part.sort(key=lambda concept: (-concept.count, concept.word))
        _print_words(console, name, [concept.word for concept in of_part if concept.acoustic is not False])
        _print_words(console, "Other adjectives", [concept.word for concept in of_part if concept.acoustic is False])
    if "concepts" in card.verdicts or "concepts" in card.listening:
        console.print("[bold]These words, held out[/bold]")
        _print_verdict(console, card, "concepts")


def _print_words(console: Console, name: str, words: list[str]) -> None:
    if words:
        _paragraph(console, name, ", ".join(words[:_MOST_WORDS]))


def _print_labels(console: Console, card: Card) -> None:
    """The first labels of every kind."""
    kinds = groupby(card.labels, key=lambda label: (label.method, label.similarity, label.concepts, label.encoder))
    for (method, similarity, _, encoder), labels in kinds:
        by = f"{method} with {encoder}" if encoder else method
        ranked = list(labels)
        text = ", ".join(f"{_concept(label)} ({label.score:z.2f})" for label in ranked[:_MOST_LABELS])
        _paragraph(console, f"Label by {by}, {similarity}, {ranked[0].basis}", text)
        _print_verdict(console, card, ranked[0].source)


def _print_firing(console: Console, card: Card) -> None:
    if card.firing:
        _paragraph(console, "Fires on", "; ".join(map(str, card.firing)))


def _print_effects(console: Console, card: Card) -> None:
    for effect in card.effects:
        _paragraph(
            console,
            f"Ablated, the logit of {effect.concept}",
            f"{effect.own:+.2g} on its clips, {effect.others:+.2g} on others; selectivity {effect.selectivity:+.2g}, "
            f"of {effect.controls} other units {effect.control_selectivity:+.2g} (p {effect.p:.2g})",
        )


def _print_failures(console: Console, card: Card) -> None:
    failures = dict(card.failures)
    if failures.pop("summary", None) is not None:  # said where the words would stand
        failures.pop("calibration", None)  # which says the same again
    for step, reason in failures.items():
        _paragraph(console, f"Not said, {step}", reason)


def _print_verdict(console: Console, card: Card, source: str) -> None:
    """How what was just said did on clips that had no part in it, if it has been scored."""
    verdict = card.verdicts.get(source)
    if verdict is not None:
        style = "dim" if verdict.holds else "yellow"
        console.print(Padding(f"[{style}]{clean(f'Held out: {verdict}')}[/{style}]", (0, 0, 0, 2)))
    result = card.listening.get(source)
    if result is not None:
        console.print(Padding(f"[dim]{clean(f'By ear ({result.listener}): {result}')}[/dim]", (0, 0, 0, 2)))


def _paragraph(console: Console, title: str, text: str) -> None:
    console.print(f"[bold]{clean(title)}[/bold]")
    console.print(Padding(clean(text), (0, 0, 0, 2)))


def _concept(label: Label) -> str:
    """A concept as the list has it; a union in words."""
    from ..explain.labels.concept_lists import concept_text

    return concept_text(label.concept) if label.members else label.concept
