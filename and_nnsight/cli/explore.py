"""`explore`: a live page on this machine."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from ._output import quiet_transformers


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command()(explore)


def explore(
    folders: Annotated[list[Path], typer.Argument(metavar="DIR...", help="Dissections, to be held side by side.")],
    model: Annotated[
        list[str] | None,
        typer.Option(help="What was dissected, where it is no longer under its name: one for all, or one for each."),
    ] = None,
    data: Annotated[str | None, typer.Option(help="What was dissected, where it is no longer in its place.")] = None,
    port: Annotated[int, typer.Option(help="Of 127.0.0.1; 0: a free one.", min=0, max=65_535)] = 0,
    no_model: Annotated[bool, typer.Option("--no-model", help="Browse only: nothing is heard or changed.")] = False,
) -> None:
    """Serve a page on this machine: browse units, search by words or by a sound, sing into the model, silence units.

    Nothing leaves this machine, and nobody else on it can use the page: its address carries a token. Ctrl-C ends it.
    """
    from ..dissection.dissection import Dissection
    from ..look.explore.background import is_working
    from ..look.explore.serve import explore as serve

    quiet_transformers()
    dissections = [Dissection.load(folder) for folder in folders]
    serve(dissections, False if no_model else model or None, data, port=port, on_ready=_announce)
    if is_working():  # in torch's code, which aborts if Python ends below it; files are written whole or not at all
        sys.stdout.flush()
        os._exit(0)


def _announce(address: str) -> None:
    print(f"open in a browser on this machine: {address}\nCtrl-C ends it", flush=True)
