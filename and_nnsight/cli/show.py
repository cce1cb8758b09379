"""`show`: a unit's whole card."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from ._card import print_card
from ._options import DissectionFolder


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command()(show)


def show(
    folder: DissectionFolder,
    site: Annotated[str, typer.Argument(help="A site's name, for example blocks.3.mlp.hook_post.")],
    unit: Annotated[int, typer.Argument(help="Index of the unit.", min=0)],
    most: Annotated[int, typer.Option(help="At most so many clips at either end.", min=1)] = 8,
) -> None:
    """Show a unit's card: the clips it responds to most and least, and what has been said of them."""
    from ..dissection.dissection import Dissection
    from ..explain import card

    dissection = Dissection.load(folder)
    print_card(Console(), dissection, card(dissection, site, unit), most)
