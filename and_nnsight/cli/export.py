"""`export`: a dissection in the formats of others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..wording import counted
from ._options import DissectionFolder, Sites


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command()(export)


def export(
    folder: DissectionFolder,
    to: Annotated[str, typer.Option(help="parquet or csv: tables of units, exemplars, clips and explanations.")],
    out: Annotated[Path, typer.Option(help="Folder to write to.")],
    sites: Sites = None,
) -> None:
    """Write a dissection as files that others read."""
    from ..dissection.dissection import Dissection
    from ..share.exporting import export as run

    written = run(Dissection.load(folder), to, out, sites=sites)
    print(f"{counted(len(written), 'file')} in {out}: {', '.join(path.name for path in written)}")
