"""`show`: a unit's exemplars as a table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from ._output import clean

if TYPE_CHECKING:
    from ..dissection import Dissection, Exemplar, Unit


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command()(show)


def show(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a dissection.")],
    site: Annotated[str, typer.Argument(help="A site's name, for example blocks.3.mlp.hook_post.")],
    unit: Annotated[int, typer.Argument(help="Index of the unit.", min=0)],
    most: Annotated[int, typer.Option(help="At most so many clips at either end.", min=1)] = 8,
) -> None:
    """Show the clips that a unit responds to most and least."""
    from ..dissection import Dissection

    found = Dissection.load(folder)
    print_unit(Console(), found, found.unit(site, unit), most)


def print_unit(console: Console, found: Dissection, unit: Unit, most: int = 8) -> None:
    """A unit's card: its statistics, its exemplars, and what they have in common."""
    from ..commonalities import Commonalities

    statistics = found[unit.site]
    console.print(f"[bold]{clean(unit.site)}[/bold], unit {unit.index} of {statistics.units:,}")
    console.print(
        f"mean {unit.mean:.4g}, standard deviation {unit.variance**0.5:.4g}, "
        f"above zero on {unit.active:.1%} of {statistics.count:,} clips"
    )
    console.print(_table("Responds most to", unit.top[:most]))
    console.print(_table("Responds least to", unit.bottom[:most]))
    if unit.tied:
        console.print("All its top clips have the same activation: this unit does not tell clips apart.")
        return
    common = Commonalities(found)
    label = common.label(unit.top)
    if label is not None:
        everywhere = f"{label.share_of_all:.1%} of all clips are"
        console.print(f"{label.count} of the top {label.of} are labelled {clean(label.what)!r} ({everywhere}).")
    if found_words := common.words(unit.top):
        said = ", ".join(f"{clean(word.what)} ({word.count} of {word.of})" for word in found_words)
        console.print(f"Words that the top clips' captions share more than others do: {said}.")


def _table(title: str, exemplars: tuple[Exemplar, ...]) -> Table:
    table = Table(
        "activation", "seconds", "clip", "label", "caption", title=title, title_justify="left", box=box.SIMPLE
    )
    table.columns[0].justify = "right"
    for exemplar in exemplars:
        table.add_row(
            f"{exemplar.activation + 0.0:.4g}",  # −0 reads as 0
            seconds(exemplar),
            clean(clip_name(exemplar)),
            clean(exemplar.label or ""),
            clean(exemplar.caption or ""),
        )
    return table


def clip_name(exemplar: Exemplar) -> str:
    """Id and file name of an exemplar's clip."""
    return f"{exemplar.clip} {Path(exemplar.path).name}" if exemplar.path else str(exemplar.clip)


def seconds(exemplar: Exemplar) -> str:
    """Where in its clip an exemplar's frame lies."""
    if exemplar.start is None or exemplar.end is None:
        return "?"
    return f"{exemplar.start:.2f}–{exemplar.end:.2f}"
