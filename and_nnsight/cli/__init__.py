"""The command line. Errors of use are one sentence on standard error and exit code 2."""

from __future__ import annotations

import sys
import warnings

import typer

from . import demo, dissecting, showing

app = typer.Typer(
    name="and-nnsight",
    help="What does each neuron of an acoustic transformer listen for?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for group in (demo, dissecting, showing):
    group.register(app)


def main() -> None:
    """Entry point of `and-nnsight`."""
    warnings.showwarning = _show_warning
    try:
        app()
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        sys.exit(130)
    except (ValueError, OSError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)


def _show_warning(message: Warning | str, category: type[Warning], *rest: object) -> None:
    if issubclass(category, UserWarning):
        print(f"warning: {' '.join(str(message).split())}", file=sys.stderr)
