"""`show`: a unit's whole card."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from ._card import print_card
from ._options import AsJson, DissectionFolder
from ._output import print_json


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command()(show)


def show(
    folder: DissectionFolder,
    site: Annotated[str, typer.Argument(help="A site's name, for example blocks.3.mlp.hook_post.")],
    unit: Annotated[int, typer.Argument(help="Index of the unit.", min=0)],
    most: Annotated[int, typer.Option(help="At most so many clips at either end.", min=1)] = 8,
    as_json: AsJson = False,
) -> None:
    """Show a unit's card: the clips it responds to most and least, and what has been said of them."""
    from ..dissection.dissection import Dissection
    from ..explain import card
    from ..share.plain_values import card_columns

    dissection = Dissection.load(folder)
    described = card(dissection, site, unit)
    if as_json:
        print_json(card_columns(described, most))
    else:
        print_card(Console(), dissection, described, most)
