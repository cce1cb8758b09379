"""`exemplars`: keep the sounds of units' exemplars and the units' activations over them."""

from __future__ import annotations

from typing import Annotated

import typer

from ._option_groups import with_option_groups
from ._options import BatchSize, DissectionFolder, LoaderArguments, Quiet
from ._output import plain, quiet_transformers, resumable
from ._units import NAMED, named_units


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command()(exemplars)


@with_option_groups
def exemplars(
    folder: DissectionFolder,
    units: Annotated[list[str], typer.Option(metavar="SITE:UNIT", help=NAMED)],
    loader: LoaderArguments,
    most: Annotated[int | None, typer.Option(help="Exemplars at either end of each unit. Default: all.", min=1)] = None,
    model: Annotated[
        str | None, typer.Option(help="What was dissected, where the dissection's name does not do.")
    ] = None,
    data: Annotated[str | None, typer.Option(help="What was dissected, where its clips have no files.")] = None,
    batch_size: BatchSize = 8,
    quiet: Quiet = False,
) -> None:
    """Keep the sounds of units' exemplars, and the units' activations over them, to be seen and heard."""
    from ..dissection.dissection import Dissection
    from ..run.exemplars import keep_exemplars

    quiet_transformers()
    dissection = Dissection.load(folder)
    chosen = named_units(dissection.widths(), units)
    with resumable():
        kept = keep_exemplars(
            dissection, chosen, model, data, most=most, batch_size=batch_size, **vars(loader), progress=not quiet
        )
    for failure in kept.failures:
        print(f"not kept: {plain(failure.path or f'clip {failure.clip}')}: {plain(failure.reason)}")
    print(plain(str(kept)) + f": {folder / 'exemplars'}")
