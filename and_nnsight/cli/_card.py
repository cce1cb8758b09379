"""A unit's card in a terminal: its statistics, its exemplars, and what has been said of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table

from ..dissection.clip_names import clip_name, clip_names, seconds
from ..wording import agree, counted
from ._card_text import print_text
from ._output import clean

if TYPE_CHECKING:
    from ..dissection.dissection import Dissection
    from ..dissection.exemplars import Exemplar, Unit
    from ..explain import Card

_LONGEST_CAPTION = 160


@dataclass(frozen=True)
class _ClipTexts:
    """What is printed of clips: their captions, their names, and of how many of them."""

    captions: Mapping[Exemplar, str]
    names: Mapping[str, str]
    most: int


def print_card(console: Console, dissection: Dissection, card: Card, most: int = 8) -> None:
    """A unit's statistics, its exemplars with their captions, and its summary, concepts and labels."""
    unit, statistics = card.unit, dissection.arrays(card.unit.site)
    console.print(
        f"[bold]{clean(unit.site)}[/bold], unit {unit.index} of {statistics.units:,}{_kind(dissection, unit)}"
    )
    console.print(
        f"mean {unit.mean:.4g}, standard deviation {unit.variance**0.5:.4g}, "
        f"above zero on {unit.active:.1%} of {counted(statistics.count, 'clip')}"
    )
    if (reading := dissection.manifest.model.reading) is not None:
        console.print(clean(reading))
    texts = _ClipTexts(card.captions, clip_names(dissection), most)
    _print_side(console, "Responds most to", unit.top, unit.top_shortfall, texts)
    _print_common_label(console, dissection, unit)
    _print_side(console, "Responds least to", unit.bottom, unit.bottom_shortfall, texts)
    print_text(console, card)


def _kind(dissection: Dissection, unit: Unit) -> str:
    """What the site's units are, where they are no values of a tensor: heads, or a dictionary's latents."""
    dictionary = next(site.dictionary for site in dissection.manifest.sites if site.name == unit.site)
    return f" ({clean(dictionary['kind'])})" if dictionary and "kind" in dictionary else ""


def _print_side(
    console: Console, title: str, exemplars: Sequence[Exemplar], shortfall: str | None, texts: _ClipTexts
) -> None:
    """The exemplars whose places were won by value, and why not all are evidence. Others would be the first of many."""
    decided = [exemplar for exemplar in exemplars if exemplar.decided or exemplar.copy]
    if not exemplars:
        console.print(f"[bold]{title}[/bold]\n  no clip had a finite activation.")
    elif not decided:
        console.print(f"[bold]{title}[/bold]", Padding(f"no clip is decided: {shortfall}.", (0, 0, 0, 2)))
    else:
        console.print(_exemplar_table(title, decided[: texts.most], texts))
        if shortfall is not None:
            telling = sum(exemplar.telling for exemplar in exemplars)
            of = f"{telling} of {counted(len(exemplars), 'stored clip')}"
            evidence = f"{of} {agree(telling, 'is', 'are')} evidence: {shortfall}."
            console.print(Padding(evidence, (0, 0, 0, 2)))


def _print_common_label(console: Console, dissection: Dissection, unit: Unit) -> None:
    from ..dissection.common_labels import LabelCounter

    common = LabelCounter(dissection).commonest(unit.top)
    if common is not None and common.is_shared:
        everywhere = f"{common.share_of_all:.1%} of all clips are"
        of = f"{common.count} of these {common.of} {agree(common.count, 'is', 'are')}"
        console.print(f"{of} labelled {clean(common.label)!r} ({everywhere}).")


def _exemplar_table(title: str, exemplars: Sequence[Exemplar], texts: _ClipTexts) -> Table:
    clips = {exemplar: clip_name(exemplar, texts.names) for exemplar in exemplars}
    # A label that is also the clip's folder would only take the caption's width.
    labels_tell = any(exemplar.label and exemplar.label not in clips[exemplar] for exemplar in exemplars)
    table = Table(title=title, title_justify="left", box=box.SIMPLE, padding=(0, 1, 0, 0))
    table.add_column("activation", justify="right", no_wrap=True)
    table.add_column("of\nfirst", justify="right", no_wrap=True)
    tokens = any(each.token is not None for each in exemplars)
    timed = not tokens or any(each.start is not None for each in exemplars)
    if tokens:
        table.add_column("token", no_wrap=True)
    if timed:
        table.add_column("seconds", no_wrap=True)
    table.add_column("clip", ratio=2, overflow="fold")
    if labels_tell:
        table.add_column("label", ratio=1, overflow="fold")
    table.add_column("caption", ratio=4)
    for exemplar in exemplars:
        label = [clean(exemplar.label or "")] if labels_tell else []
        when = [*([_token(exemplar)] if tokens else []), *([seconds(exemplar)] if timed else [])]
        table.add_row(*_firing(exemplar), *when, clean(clips[exemplar]), *label, clean(_caption(exemplar, texts)))
    return table


def _firing(exemplar: Exemplar) -> tuple[str, str]:
    """How much the unit fires, as a share of the first exemplar too."""
    return f"{exemplar.activation + 0.0:.4g}", f"{exemplar.strength:.0%}"  # −0 reads as 0


def _token(exemplar: Exemplar) -> str:
    return "" if exemplar.token is None else clean(repr(exemplar.token))


def _caption(exemplar: Exemplar, texts: _ClipTexts) -> str:
    caption = texts.captions.get(exemplar) or exemplar.caption or ""
    return _shortened(_marks(exemplar) + caption)


def _marks(exemplar: Exemplar) -> str:
    marks = [name for name, applies in (("copy", exemplar.copy), ("silent", exemplar.silent)) if applies]
    return f"({', '.join(marks)}) " if marks else ""


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_CAPTION else text[: _LONGEST_CAPTION - 1].rstrip() + "…"
