"""`push`: a dissection to the hub."""

from __future__ import annotations

from typing import Annotated

import typer

from ..wording import command
from ._option_groups import with_option_groups
from ._options import DissectionFolder
from ._output import plain, resumable
from ._sharing import SharingArguments, print_dataset


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command()(push)


@with_option_groups
def push(
    folder: DissectionFolder,
    repo: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="Dataset repository; made if it is not there.")],
    sharing: SharingArguments,
    private: Annotated[
        bool | None, typer.Option("--private/--public", help="Of a new repository. Default: as its owner has it.")
    ] = None,
    revision: Annotated[str | None, typer.Option(help="A branch; made if it is not there. Default: main.")] = None,
    overwrite: Annotated[bool, typer.Option(help="Also into a repository that holds something else.")] = False,
    message: Annotated[str | None, typer.Option(help="Of the commit.")] = None,
) -> None:
    """Put a dissection on the Hugging Face hub, as a dataset whose viewer shows its units and plays their exemplars.

    Log in before (`hf auth login`, or the variable HF_TOKEN).
    """
    from ..dissection.dissection import Dissection
    from ..share.pushing import push as run

    with resumable("the repository is as it was; the same command goes on from here"):
        done = run(
            Dissection.load(folder), repo, **vars(sharing), private=private, revision=revision, overwrite=overwrite,
            message=message,
        )  # fmt: skip
    print_dataset(done.dataset, done.bytes)
    print(f"{plain(done.url)} is at {done.commit[:12]}")
    print(f"to have it elsewhere: {plain(command('pull', repo, 'DIR'))}")
