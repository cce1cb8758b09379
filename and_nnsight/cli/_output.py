"""What the commands share: text from outside made safe to print, quiet libraries, and Ctrl-C."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import typer
from rich.markup import escape

from ..dissection.table_files import plain as plain_values
from ..redaction import without_control_characters, without_credentials


def plain(text: object) -> str:
    """Text from a dataset, a path or an error on one line, without what would command a terminal, and passwords."""
    return without_credentials(" ".join(without_control_characters(str(text)).split()))


def clean(text: object) -> str:
    """`plain`, with rich's markup taken literally."""
    return escape(plain(text))


def print_json(value: Any) -> None:
    """A value as JSON on standard output, for programs: whole, with escapes for what is not ASCII."""
    print(json.dumps(plain_values(value), indent=2, allow_nan=False))


def print_rows(rows: Iterable[Any]) -> None:
    """Rows of a table as a list of objects, their columns by name."""
    print_json([row.columns() for row in rows])


def quiet_transformers() -> None:
    """Keep transformers' own progress bars out of the output."""
    from transformers import modeling_gguf_pytorch_utils
    from transformers.utils import logging

    logging.disable_progress_bar()
    gguf: Any = modeling_gguf_pytorch_utils
    gguf.tqdm = logging.tqdm  # GGUF files are read under a bar of tqdm's own, which that switch does not reach


@contextmanager
def resumable(on_interrupt: str = "the same command goes on from here") -> Iterator[None]:
    """Ctrl-C ends the command with a word about what that leaves, and exit code 130."""
    try:
        yield
    except KeyboardInterrupt:
        print(f"stopped; {on_interrupt}", file=sys.stderr)
        raise typer.Exit(130) from None


def print_verdicts(holding: int, scored: int, what: str) -> None:
    """How many of the labels or explanations that were just made have been put to the test before, and how many hold.

    Nothing where none has, as before `score`.
    """
    if scored:
        print(f"{holding:,} of {scored:,} {what} that were scored hold on held-out clips")
