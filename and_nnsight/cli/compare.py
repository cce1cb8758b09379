"""`compare`: two dissections over the same clips."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from ..wording import counted
from ._option_groups import with_option_groups
from ._options import AsJson, Quiet
from ._output import clean, plain, print_json, quiet_transformers

if TYPE_CHECKING:
    from ..comparison.result import Comparison
    from ..comparison.rows import ComparedUnitRow
    from ..dissection.dissection import Dissection

First = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a dissection.")]
Second = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of another, over the same clips.")]
Sites = Annotated[
    list[str] | None,
    typer.Option(help="A site's name, glob or preset, in both. Repeatable. Default: all, but each neuron once."),
]


@dataclass(frozen=True, kw_only=True)
class ReportArguments:
    """Lost and gained units to see and hear."""

    report: Annotated[
        int, typer.Option(help="So many lost and so many gained units as pages to hear, in --out.", min=0)
    ] = 0
    model: Annotated[str | None, typer.Option(help="The first's, where it is no longer under its name.")] = None
    second_model: Annotated[str | None, typer.Option(help="The second's, likewise.")] = None
    data: Annotated[str | None, typer.Option(help="What was dissected, where it is no longer in its place.")] = None
    quiet: Quiet = False


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command()(compare)


@with_option_groups
def compare(
    first: First,
    second: Second,
    sites: Sites = None,
    second_sites: Annotated[
        list[str] | None, typer.Option(help="Those of the second dissection, where they have other names.")
    ] = None,
    by: Annotated[
        str | None, typer.Option(help="activations or exemplars. Default: activations, where both keep them.")
    ] = None,
    least: Annotated[float, typer.Option(help="From which correlation on two units answer to the same.")] = 0.5,
    most: Annotated[int, typer.Option(help="At most so many lost and so many gained units are listed.", min=0)] = 10,
    out: Annotated[Path | None, typer.Option(help="Folder to write tables and figures to.")] = None,
    seed: Annotated[int, typer.Option(help="Of the random clips that units are held against.", min=0)] = 0,
    as_json: AsJson = False,
    *,
    pages: ReportArguments,
) -> None:
    """Compare two dissections over the same clips: which units answer to the same, what is lost, what is gained."""
    from ..comparison.comparing import compare as run
    from ..dissection.dissection import Dissection

    if pages.report and out is None:
        raise ValueError("--report writes pages: name a folder for them (--out)")
    quiet_transformers()
    dissections = Dissection.load(first), Dissection.load(second)
    comparison = run(*dissections, sites=sites, second_sites=second_sites, by=by, least=least, seed=seed)
    no_figure = _write(comparison, out) if out is not None else None
    if as_json:
        if out is not None:
            with redirect_stdout(sys.stderr):  # what is printed is for programs
                _write_reports(comparison, dissections, out, pages)
        print_json(comparison.content())
        return
    for line in comparison.summary():
        print(plain(line))
    console = Console()
    console.print(_sites(comparison))
    for name, rows in (("lost", comparison.lost()), ("gained", comparison.gained())):
        if rows and most:
            console.print(_units(name, rows[:most], len(rows)))
    if out is not None:
        _write_reports(comparison, dissections, out, pages)
        print(f"{plain(out)}: tables" + (f"; no figure: {no_figure}" if no_figure else " and figures"))


def _write(comparison: Comparison, out: Path) -> str | None:
    """Write tables and the figure; why there is no figure, if so."""
    from ..plugins import PluginError

    comparison.write(out)
    try:
        comparison.write_figure(out)
    except PluginError as error:
        return plain(error)
    return None


def _write_reports(
    comparison: Comparison, dissections: tuple[Dissection, Dissection], out: Path, pages: ReportArguments
) -> None:
    """Write the pages of lost and gained units, and say which."""
    if not pages.report:
        return
    from ..look.lost_and_gained import write_lost_and_gained

    reports = write_lost_and_gained(
        comparison, *dissections, out, most=pages.report, models=(pages.model, pages.second_model), data=pages.data,
        progress=not pages.quiet,
    )  # fmt: skip
    for report in reports:
        print(f"{plain(report.path)}: {counted(len(report.units), 'unit')}, open it in a browser")
    if not reports:
        print("no page: no unit was lost or gained that has clips to show")


def _sites(comparison: Comparison) -> Table:
    headings = ("", "site", "units", "matched", "shared", "alone", "undecided", "r", "labels")
    table = Table(*headings, box=box.SIMPLE, padding=0)
    table.columns[1].no_wrap = True  # the end of a site's name tells it from others
    for column in table.columns[2:]:
        column.justify = "right"
    for row in comparison.sites:
        counts = (row.units, row.matched, row.shared, row.alone, row.undecided)
        mean = "" if row.correlation is None else f"{row.correlation:.2f}"
        labels = "" if row.labels is None else f"{row.labels}"
        table.add_row(row.side, clean(row.site), *(f"{count:,}" for count in counts), mean, labels)
    return table


def _units(name: str, rows: list[ComparedUnitRow], of: int) -> Table:
    title = f"{name}: {len(rows)} of {of:,} units"
    table = Table("unit, and what is known of it", "nearest in the other", "r", "clips", box=box.SIMPLE, title=title)
    table.title_justify = "left"
    for row in rows:
        known = f"[bold]{clean(row.name)}[/bold]" + (f"\n{clean(row.words)}" if row.words else "")
        other = clean(f"{row.other_site}:{row.other_unit}") + (f"\n{clean(row.other_words)}" if row.other_words else "")
        table.add_row(known, other, f"{row.correlation:.2f}", f"{row.shared_clips} of {row.evidence}")
    return table
