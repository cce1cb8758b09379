"""`pull`: a dissection from the hub."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ._output import plain, resumable


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command()(pull)


def pull(
    repo: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="Dataset repository, or hf://datasets/OWNER/NAME.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to make.")],
    revision: Annotated[str | None, typer.Option(help="A branch, tag or commit. Default: main.")] = None,
) -> None:
    """Fetch a dissection from the Hugging Face hub into a folder."""
    from ..share.pushing import pull as run

    with resumable():
        dissection = run(repo, folder, revision=revision)
    print(plain(f"{dissection!r}"))
