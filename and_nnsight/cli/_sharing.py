"""What the commands that hand a dissection on share: their options, and what they say of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer
from rich.filesize import decimal as readable

from ..wording import agree, counted
from ._output import plain

if TYPE_CHECKING:
    from ..share.dataset_folder import DatasetFolder

_MOST_NAMED = 12


@dataclass(frozen=True, kw_only=True)
class SharingArguments:
    """What of a dissection is handed on as a dataset."""

    audio: Annotated[
        bool | None, typer.Option("--audio/--no-audio", help="Whether sounds go along. Has to be said.")
    ] = None
    license: Annotated[
        str | None, typer.Option(metavar="LICENSE", help="Of the data, for example cc-by-4.0. Never guessed.")
    ] = None
    best: Annotated[int, typer.Option(help="Of so many units exemplars can be heard: the most selective.", min=0)] = 100
    exemplars: Annotated[int, typer.Option(help="So many of each.", min=0)] = 8
    data: Annotated[str | None, typer.Option(help="What was dissected, where its clips have no files.")] = None
    keep_paths: Annotated[bool, typer.Option("--keep-paths", help="Leave places on this machine as they stand.")] = (
        False
    )


def print_dataset(dataset: DatasetFolder, size: int) -> None:
    """What was handed on, and what was not."""
    print(f"{readable(size)}: " + ", ".join(f"{name} {rows:,}" for name, rows in dataset.rows.items()))
    if dataset.clips:
        print(f"  {counted(dataset.clips, 'clip')} can be heard")
    else:
        print("  without sounds")
    if dataset.failures:
        clip, reason = next(iter(dataset.failures.items()))
        count = len(dataset.failures)
        print(f"  {counted(count, 'clip')} {agree(count, 'is', 'are')} without sound: clip {clip} {plain(reason)}")
    if dataset.left_out:
        more = len(dataset.left_out) - _MOST_NAMED
        named = ", ".join(dataset.left_out[:_MOST_NAMED]) + (f" and {more:,} more" if more > 0 else "")
        print(f"  not handed on: {plain(named)}")
    for line in dataset.traces.lines():
        print(f"  {plain(line)}")
