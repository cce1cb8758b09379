"""`search`: units by what has been said of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from ..dissection.clip_names import clip_name, clip_names
from ..wording import command
from ._options import AsJson, Device, ExplainedFolder, Sites
from ._output import clean, print_json, quiet_transformers

if TYPE_CHECKING:
    from ..dissection.exemplars import Exemplar
    from ..explain import Match

_MOST_CLIPS = 3


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command()(search)


def search(
    folder: ExplainedFolder,
    text: Annotated[str, typer.Argument(help='What to look for, for example "dog barking".')],
    most: Annotated[int, typer.Option(help="At most so many units.", min=1)] = 10,
    text_encoder: Annotated[
        str, typer.Option(help="words (finds words) or sentence-transformers:REPO (finds meanings).")
    ] = "words",
    sites: Sites = None,
    device: Device = None,
    as_json: AsJson = False,
) -> None:
    """Find the units whose explanations and labels are nearest to a text."""
    from ..dissection.dissection import Dissection
    from ..explain import search as run
    from ..share.plain_values import match_columns

    if text_encoder != "words":
        quiet_transformers()  # imports transformers
    dissection = Dissection.load(folder)
    matches = run(dissection, text, text_encoder=text_encoder, most=most, sites=sites, device=device)
    if as_json:
        print_json([match_columns(match) for match in matches])
        return
    console = Console()
    if not matches:
        console.print(f"No unit's explanation or label has anything of {clean(repr(text))}.")
        return
    console.print(_table(matches, clip_names(dissection)))
    best = matches[0]
    console.print(f"a unit's card: {clean(command('show', dissection.place, best.site, best.unit))}", soft_wrap=True)


def _table(matches: list[Match], names: Mapping[str, str]) -> Table:
    table = Table("score", "unit", "what is said of it", "best clips", box=box.SIMPLE)
    table.columns[0].justify = "right"
    table.columns[1].no_wrap = True  # the end of a site's name tells it from others
    for match in matches:
        where = "" if match.source == "explanation" else f"[dim]{match.source}:[/dim] {clean(match.matched)}\n"
        table.add_row(
            f"{match.score:z.2f}",
            f"{clean(match.site)} {match.unit}",
            f"{where}{clean(match.explanation or '')}{_warning(match)}".strip(),
            ", ".join(dict.fromkeys(_clip(exemplar, names) for exemplar in match.exemplars[:_MOST_CLIPS])),
        )
    return table


def _warning(match: Match) -> str:
    """A word of warning about what has been put to the test, and does not hold."""
    if match.verdict is None or match.verdict.holds:
        return ""
    return f"\n[yellow]{clean(match.verdict.answer)}[/yellow]"


def _clip(exemplar: Exemplar, names: Mapping[str, str]) -> str:
    """What a clip is filed under; its name where it has no label."""
    return clean(exemplar.label or clip_name(exemplar, names))
