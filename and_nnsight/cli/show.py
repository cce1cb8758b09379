"""`show`: a unit's whole card."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table

from ..wording import agree, counted
from ._output import clean

if TYPE_CHECKING:
    from ..dissection.dissection import Dissection
    from ..dissection.exemplars import Exemplar, Unit
    from ..explain import Card
    from ..explain.read.unit_card import Label

_PARTS = re.compile(r"[/\\]+")
_SHOWN_WORDS = 8
_SHOWN_LABELS = 3
_LONGEST_CAPTION = 160


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command()(show)


def show(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a dissection.")],
    site: Annotated[str, typer.Argument(help="A site's name, for example blocks.3.mlp.hook_post.")],
    unit: Annotated[int, typer.Argument(help="Index of the unit.", min=0)],
    most: Annotated[int, typer.Option(help="At most so many clips at either end.", min=1)] = 8,
) -> None:
    """Show a unit's card: the clips it responds to most and least, and what has been said of them."""
    from ..dissection.dissection import Dissection
    from ..explain import card

    found = Dissection.load(folder)
    print_card(Console(), found, card(found, site, unit), most)


def print_card(console: Console, found: Dissection, card: Card, most: int = 8) -> None:
    """A unit's statistics, its exemplars with their captions, and its summary, concepts and labels."""
    unit, statistics = card.unit, found[card.unit.site]
    console.print(f"[bold]{clean(unit.site)}[/bold], unit {unit.index} of {statistics.units:,}")
    console.print(
        f"mean {unit.mean:.4g}, standard deviation {unit.variance**0.5:.4g}, "
        f"above zero on {unit.active:.1%} of {counted(statistics.count, 'clip')}"
    )
    names = clip_names(found)
    _print_side(console, "Responds most to", unit.top, unit.top_shortfall, card.captions, names, most)
    _print_label_count(console, found, unit)
    _print_side(console, "Responds least to", unit.bottom, unit.bottom_shortfall, card.captions, names, most)
    _print_said(console, card)


def _print_side(
    console: Console,
    title: str,
    exemplars: Sequence[Exemplar],
    shortfall: str | None,
    captions: Mapping[Exemplar, str],
    names: Mapping[str, str],
    most: int,
) -> None:
    """The exemplars whose places were won by value, and why not all are evidence. Others would be the first of many."""
    decided = [exemplar for exemplar in exemplars if exemplar.decided or exemplar.copy]
    if not exemplars:
        console.print(f"[bold]{title}[/bold]\n  no clip had a finite activation.")
    elif not decided:
        console.print(f"[bold]{title}[/bold]\n  no clip is decided: {shortfall}.")
    else:
        console.print(_table(title, decided[:most], captions, names))
        if shortfall is not None:
            telling = sum(exemplar.telling for exemplar in exemplars)
            of = f"{telling} of {counted(len(exemplars), 'stored clip')}"
            console.print(f"  {of} {agree(telling, 'is', 'are')} evidence: {shortfall}.")


def _print_label_count(console: Console, found: Dissection, unit: Unit) -> None:
    from ..dissection.common_labels import LabelCounter

    common = LabelCounter(found).commonest(unit.top)
    if common is not None:
        everywhere = f"{common.share_of_all:.1%} of all clips are"
        of = f"{common.count} of these {common.of} {agree(common.count, 'is', 'are')}"
        console.print(f"{of} labelled {clean(common.label)!r} ({everywhere}).")


def _print_said(console: Console, card: Card) -> None:
    if card.calibrated:
        _paragraph(console, "In words", card.calibrated)
        _print_verdict(console, card, "explanation")
    elif card.calibrated == "":
        _paragraph(console, "In words", "nothing is left that is not true of the clips it responds least to.")
    if card.calibrated is None and card.summary:
        _paragraph(console, "In words, not calibrated", card.summary)
        _print_verdict(console, card, "explanation")
    for sentence, lowly, similarity in card.dropped:
        _paragraph(console, f"Dropped (similarity {similarity:.2f})", f"{sentence}  ~  {lowly}")
    if card.lowly:
        _paragraph(console, "Of the clips it responds least to", card.lowly)
    for part in ("adjective", "noun", "verb"):
        found = (concept for concept in card.concepts if concept.part == part)
        words = sorted(found, key=lambda concept: (-concept.count, concept.word))
        kept = [concept.word for concept in words if concept.acoustic is not False]
        others = [concept.word for concept in words if concept.acoustic is False]
        name = "Acoustic adjectives" if part == "adjective" else f"{part.capitalize()}s"
        if kept:
            _paragraph(console, name, ", ".join(kept[:_SHOWN_WORDS]))
        if others:
            _paragraph(console, "Other adjectives", ", ".join(others[:_SHOWN_WORDS]))
    if "concepts" in card.verdicts or "concepts" in card.listening:
        console.print("[bold]These words, held out[/bold]")
        _print_verdict(console, card, "concepts")
    kinds = groupby(card.labels, key=lambda label: (label.method, label.similarity, label.concepts, label.encoder))
    for (method, similarity, _, encoder), labels in kinds:
        by = f"{method} with {encoder}" if encoder else method
        ranked = list(labels)
        said = ", ".join(f"{_concept(label)} ({label.score:.2f})" for label in ranked[:_SHOWN_LABELS])
        _paragraph(console, f"Label by {by}, {similarity}, {ranked[0].basis}", said)
        _print_verdict(console, card, ranked[0].source)
    for effect in card.effects:
        _paragraph(
            console,
            f"Ablated, the logit of {effect.concept}",
            f"{effect.own:+.2g} on its clips, {effect.others:+.2g} on others; selectivity {effect.selectivity:+.2g}, "
            f"of {effect.controls} other units {effect.control_selectivity:+.2g} (p {effect.p:.2g})",
        )
    failures = dict(card.failures)
    if "summary" in failures:
        failures.pop("calibration", None)  # which says the same again
    for step, reason in failures.items():
        _paragraph(console, f"Not said, {step}", reason)


def _concept(label: Label) -> str:
    """A concept as the list has it; a union in words."""
    from ..explain.labels.concept_lists import concept_text

    return concept_text(label.concept) if label.members else label.concept


def _print_verdict(console: Console, card: Card, source: str) -> None:
    """How what was just said did on clips that had no part in it, if it has been scored."""
    if (known := card.verdicts.get(source)) is not None:
        style = "dim" if known.holds else "yellow"
        console.print(Padding(f"[{style}]{clean(f'Held out: {known}')}[/{style}]", (0, 0, 0, 2)))
    if (result := card.listening.get(source)) is not None:
        console.print(Padding(f"[dim]{clean(f'By ear ({result.listener}): {result}')}[/dim]", (0, 0, 0, 2)))


def _paragraph(console: Console, title: str, text: str) -> None:
    console.print(f"[bold]{clean(title)}[/bold]")
    console.print(Padding(clean(text), (0, 0, 0, 2)))


def _table(
    title: str, exemplars: Sequence[Exemplar], captions: Mapping[Exemplar, str], names: Mapping[str, str]
) -> Table:
    table = Table(
        "activation",
        "of the first",
        "seconds",
        "clip",
        "label",
        "caption",
        title=title,
        title_justify="left",
        box=box.SIMPLE,
    )
    table.columns[0].justify = table.columns[1].justify = "right"
    for exemplar in exemplars:
        table.add_row(
            f"{exemplar.activation + 0.0:.4g}",  # −0 reads as 0
            f"{exemplar.strength:.0%}",
            seconds(exemplar),
            clean(clip_name(exemplar, names)),
            clean(exemplar.label or ""),
            clean(_cut(_marks(exemplar) + (captions.get(exemplar) or exemplar.caption or ""))),
        )
    return table


def _marks(exemplar: Exemplar) -> str:
    marks = [name for name, marked in (("copy", exemplar.copy), ("silent", exemplar.silent)) if marked]
    return f"({', '.join(marks)}) " if marks else ""


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_CAPTION else text[: _LONGEST_CAPTION - 1].rstrip() + "…"


def clip_names(found: Dissection) -> dict[str, str]:
    """For the path of every clip as much of its end as tells it from all others."""
    names: dict[str, str] = {}
    left = {path: _PARTS.split(path) for row in found.clips.values() if (path := row.path)}
    length = 1
    while left:
        alike = Counter(tuple(parts[-length:]) for parts in left.values())
        told = [path for path, parts in left.items() if alike[tuple(parts[-length:])] == 1 or len(parts) <= length]
        names |= {path: "/".join(left.pop(path)[-length:]) for path in told}
        length += 1
    return names


def clip_name(exemplar: Exemplar, names: Mapping[str, str]) -> str:
    """Id and name of an exemplar's clip; `names` as `clip_names` gives them."""
    return f"{exemplar.clip} {names.get(exemplar.path, exemplar.path)}" if exemplar.path else str(exemplar.clip)


def seconds(exemplar: Exemplar) -> str:
    """Where in its clip an exemplar's frame lies."""
    if exemplar.start is None or exemplar.end is None:
        return "?"
    return f"{exemplar.start:.2f}–{exemplar.end:.2f}"
