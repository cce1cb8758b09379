"""`fires-on`."""

from __future__ import annotations

from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from ._options import DissectionFolder, Sites
from ._output import clean


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command("fires-on")(fires_on)


def fires_on(
    folder: DissectionFolder,
    concept: Annotated[str, typer.Option(help="A concept's name or glob: 'phones: *', 'words: sea', pause.")] = "*",
    sites: Sites = None,
    best: Annotated[int, typer.Option(help="At most so many units a concept.", min=1)] = 1,
) -> None:
    """List the units that fire on phones, words, speakers and pauses, of a dissection made with --annotations."""
    from ..dissection.dissection import Dissection
    from ..dissection.firing import FiringCheck, best_units
    from ..explain.records.unit_selection import matching_sites

    dissection = Dissection.load(folder)
    rows = best_units(dissection, concept, matching_sites(dissection, sites), best)
    table = Table(box=box.SIMPLE, padding=(0, 1, 0, 0))
    for column in ("concept", "unit"):
        table.add_column(column, overflow="fold")
    for column in ("AUPRC", "base", "p", "q", "clips"):
        table.add_column(column, justify="right", no_wrap=True)
    for row in rows:
        numbers = (f"{row.auprc:.2f}", f"{row.base_rate:.3f}", f"{row.p:.1g}", f"{row.q:.1g}")
        table.add_row(clean(row.concept), clean(f"{row.site}:{row.unit}"), *numbers, f"{row.clips:,}")
    console = Console()
    console.print(table if rows else "No unit fires on one of them more than chance does.")
    console.print(clean(f"{FiringCheck.of(dissection)}."), soft_wrap=True)
    described = dissection.manifest.annotations
    if described is not None and described.left_out:
        console.print(clean(f"Left out: {described.left_out}."), soft_wrap=True)
