"""The command line. Errors are one sentence on standard error: exit code 2 for errors of use, 1 for a server's."""

from __future__ import annotations

import sys
import warnings

import typer

from . import demo, dissecting, explaining, finding, labelling, scoring, searching, showing, unlearning
from ._output import plain
from ._remote import with_value

app = typer.Typer(
    name="and-nnsight",
    help="What does each neuron of an acoustic transformer listen for?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for group in (demo, dissecting, explaining, finding, labelling, scoring, searching, showing, unlearning):
    group.register(app)


def main() -> None:
    """Entry point of `and-nnsight`."""
    warnings.showwarning = _show_warning
    try:
        app(with_value(sys.argv[1:]))
    except (ValueError, OSError, RuntimeError) as error:
        code = 2 if not isinstance(error, RuntimeError) else _exit_code(error)
        if code is None:
            raise
        print(f"error: {plain(error)}", file=sys.stderr)
        sys.exit(code)


def _exit_code(error: RuntimeError) -> int | None:
    """Of errors that are nobody's mistake in our code; None for one that may be."""
    from ..collect.remote import RemoteRunError
    from ..stream import WorkerDied

    if isinstance(error, RemoteRunError):
        return 1
    return 2 if isinstance(error, WorkerDied) else None


def _show_warning(message: Warning | str, category: type[Warning], *rest: object) -> None:
    if issubclass(category, UserWarning):
        print(f"warning: {plain(message)}", file=sys.stderr)
