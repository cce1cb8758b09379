"""`report`: units to see and hear, in one HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.filesize import decimal as readable

from ..wording import agree, counted
from ._options import BatchSize, Device, DissectionFolder, Quiet
from ._output import plain, quiet_transformers, resumable
from ._units import NAMED, named_units


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command()(report)


def report(
    folder: DissectionFolder,
    out: Annotated[Path, typer.Option(metavar="FILE.html", help="The file to write.")],
    units: Annotated[list[str] | None, typer.Option(metavar="SITE:UNIT", help=NAMED)] = None,
    best: Annotated[int, typer.Option(help="So many units, the most selective or those found.", min=1)] = 100,
    search: Annotated[str | None, typer.Option(help="The units of which is said what is nearest to this text.")] = None,
    model: Annotated[str | None, typer.Option(help="What was dissected, where it is no longer under its name.")] = None,
    data: Annotated[str | None, typer.Option(help="What was dissected, where it is no longer in its place.")] = None,
    megabytes: Annotated[float, typer.Option(help="At most so large: long clips are cut to their moments.")] = 25.0,
    maps: Annotated[
        int,
        typer.Option(help="So many units, from the first, with what they hear of a clip: some seconds each.", min=0),
    ] = 0,
    overwrite: Annotated[bool, typer.Option(help="Replace a file that is no report.")] = False,
    batch_size: BatchSize = 8,
    device: Device = None,
    quiet: Quiet = False,
) -> None:
    """Write units to one HTML file, to see and hear: what is said of them, and the clips that they respond to.

    It opens in any browser, without a network. What it needs of sounds and of activations over time is kept in the
    dissection's folder, so that the next report is quicker.
    """
    from ..dissection.dissection import Dissection
    from ..look.report import write_report

    quiet_transformers()
    if units and search is not None:
        raise ValueError("name units (--units) or search for them (--search), not both")
    dissection = Dissection.load(folder)
    named = named_units(dissection.widths(), units) if units else None
    with resumable():
        written = write_report(
            dissection, out, named,
            best=best, search=search, model=model, data=data, most_megabytes=megabytes, maps=maps,
            overwrite=overwrite, device=device, batch_size=batch_size, progress=not quiet,
        )  # fmt: skip
    print(f"{counted(len(written.units), 'unit')}, {counted(written.sounds, 'sound')}, {readable(written.bytes)}")
    if maps:
        print(f"  {counted(written.maps, 'unit')} with what {agree(written.maps, 'it hears', 'they hear')}")
    if written.no_maps:
        print(f"  what units hear could not be made: {plain(written.no_maps)}")
    if written.excerpt is not None:
        print(f"  longer clips are cut to {written.excerpt:g} s around the moment at which a unit fires")
    if written.bytes > megabytes * 1e6:
        print(f"  that is more than --megabytes {megabytes:g}: fewer units (--best) would fit")
    if written.silent:
        print(
            f"  {counted(len(written.silent), 'clip')} {agree(len(written.silent), 'is', 'are')} shown without sound: "
            "they could not be read again"
        )
    print(f"open it in a browser: {plain(written.path)}")
