"""The command line. Errors of use are one sentence on standard error and exit code 2."""

from __future__ import annotations

import sys
import warnings

import typer

from . import demo, dissecting, explaining, labelling, searching, showing
from ._output import plain

app = typer.Typer(
    name="and-nnsight",
    help="What does each neuron of an acoustic transformer listen for?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for group in (demo, dissecting, explaining, labelling, searching, showing):
    group.register(app)


def main() -> None:
    """Entry point of `and-nnsight`."""
    warnings.showwarning = _show_warning
    try:
        app()
    except (ValueError, OSError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not _is_dead_worker(error):
            raise
        print(f"error: {plain(error)}", file=sys.stderr)
        sys.exit(2)


def _is_dead_worker(error: RuntimeError) -> bool:
    from ..stream import WorkerDied

    return isinstance(error, WorkerDied)


def _show_warning(message: Warning | str, category: type[Warning], *rest: object) -> None:
    if issubclass(category, UserWarning):
        print(f"warning: {plain(message)}", file=sys.stderr)
