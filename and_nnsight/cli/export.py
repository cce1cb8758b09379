"""`export`: a dissection in the formats of others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..wording import counted
from ._option_groups import with_option_groups
from ._options import DissectionFolder, Sites
from ._output import plain
from ._sharing import SharingArguments, print_dataset


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command()(export)


@with_option_groups
def export(
    folder: DissectionFolder,
    to: Annotated[
        str,
        typer.Option(
            help="parquet or csv: tables of units, exemplars, clips, explanations. dataset: what push puts on the hub."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder to write to.")],
    sharing: SharingArguments,
    sites: Sites = None,
) -> None:
    """Write a dissection as files that others read.

    What is said of sounds, licence, data and paths is said of --to dataset.
    """
    from ..dissection.dissection import Dissection
    from ..share.exporting import export as run

    if to == "dataset":
        _dataset(folder, out, sharing, sites)
        return
    if sharing != SharingArguments():
        raise ValueError("sounds, licence, data and paths are matters of --to dataset")
    written = run(Dissection.load(folder), to, out, sites=sites)
    print(f"{counted(len(written), 'file')} in {out}: {', '.join(path.name for path in written)}")


def _dataset(folder: Path, out: Path, sharing: SharingArguments, sites: list[str] | None) -> None:
    from ..dissection.dissection import Dissection
    from ..share.dataset_folder import DatasetOptions, write_dataset

    if sites:
        raise ValueError("a dataset is of the whole dissection: leave --sites out")
    written = write_dataset(Dissection.load(folder), out, DatasetOptions(**vars(sharing)))
    print_dataset(written, written.bytes)
    print(f"a dataset is in {plain(out)}: its card is {plain(out / 'README.md')}")
