"""`best`: the units worth looking at first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from ..wording import command
from ._options import AsJson, DissectionFolder
from ._output import clean, print_rows

if TYPE_CHECKING:
    from ..share.unit_row import UnitRow


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command()(best)


def best(
    folder: DissectionFolder,
    most: Annotated[int, typer.Option(help="At most so many units.", min=1)] = 20,
    site: Annotated[
        list[str] | None, typer.Option(help="A site's name, glob or preset. Repeatable. Default: all.")
    ] = None,
    label: Annotated[
        str | None, typer.Option(help="Only units whose label it is, or whose top clips share it.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the units worth looking at, the most selective first; units of the same clips take turns."""
    from ..dissection.dissection import Dissection

    dissection = Dissection.load(folder)
    rows = dissection.best(most, sites=site, label=label)
    if as_json:
        print_rows(rows)
        return
    table = Table("selectivity", "unit, and what is known of it", "best clip", box=box.SIMPLE)
    table.columns[0].justify = "right"
    table.columns[2].no_wrap = True
    for row in rows:
        known = "\n".join(filter(None, (f"[bold]{clean(row.site)} {row.unit}[/bold]", _known(row))))
        table.add_row(f"{row.selectivity:.2f}", known, _clip(row))
    console = Console()
    console.print(table)
    if rows:
        console.print(
            f"a unit's card: {clean(command('show', dissection.place, rows[0].site, rows[0].unit))}", soft_wrap=True
        )


def _known(row: UnitRow) -> str:
    """What is said of a unit, with a warning where that does not hold; else the label that its clips share."""
    text, holds, verdict = row.explanation, row.explanation_holds, row.explanation_verdict
    if text is None:
        text, holds, verdict = row.label, row.label_holds, row.label_verdict
    if text is not None:
        warning = f"\n[yellow]{clean(verdict)}[/yellow]" if verdict is not None and not holds else ""
        return f"{clean(text)}{warning}"
    if row.common_label is None:
        return ""
    return f"[dim]{row.common_count} of {row.evidence} clips:[/dim] {clean(row.common_label)}"


def _clip(row: UnitRow) -> str:
    if row.best_clip is None:
        return ""
    when = "" if row.best_start is None else f" at {row.best_start:.2f} s"
    return f"{row.best_clip}{when}" + ("" if row.best_token is None else f" {clean(repr(row.best_token))}")
