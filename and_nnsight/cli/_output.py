"""What the commands share: text from outside made safe to print, and Ctrl-C."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.markup import escape

from ..redaction import without_control_characters, without_credentials


def plain(text: object) -> str:
    """Text from a dataset, a path or an error on one line, without what would command a terminal, and passwords."""
    return without_credentials(" ".join(without_control_characters(str(text)).split()))


def clean(text: object) -> str:
    """`plain`, with rich's markup taken literally."""
    return escape(plain(text))


@contextmanager
def resumable() -> Iterator[None]:
    """Ctrl-C ends the command with a word about how to go on, and exit code 130."""
    try:
        yield
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        raise typer.Exit(130) from None


def print_verdicts(hold: int, judged: int, what: str) -> None:
    """How many of the labels or explanations that were just made have been put to the test before, and how many hold.

    Nothing where none has, as before `score`.
    """
    if judged:
        print(f"{hold:,} of {judged:,} {what} that were scored hold on held-out clips")
