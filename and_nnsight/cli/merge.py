"""`merge`: the shards of a run, as one dissection."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ._output import resumable
from .dissect import print_summary


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command()(merge)


def merge(
    folders: Annotated[
        list[Path],
        typer.Argument(metavar="DIR...", help="Folders of all shards, or the one that they were written below."),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the dissection: also the one that the shards are below.")],
) -> None:
    """Merge the shards of a run (dissect --shard i/n) into one dissection: that of a run that was not split."""
    from ..run.merge import merge as run

    with resumable():
        print_summary(run(folders, out=out), out)
