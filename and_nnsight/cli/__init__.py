"""The command line. Errors are one sentence on standard error: exit code 2 for errors of use, 1 for a server's."""

from __future__ import annotations

import functools
import logging
import sys
import warnings
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from .. import __version__
from . import (
    best,
    compare,
    concept_scores,
    demo,
    dissect,
    exemplars,
    explain,
    explore,
    export,
    findings,
    fires_on,
    hear,
    label,
    merge,
    plugins,
    pull,
    push,
    report,
    score,
    search,
    show,
    unlearn,
)
from ._errors import sentence, wants_traceback
from ._output import plain
from ._plugin_commands import CommandGroup
from ._remote import with_value

app = typer.Typer(
    name="and-nnsight",
    cls=CommandGroup,
    help="What does each neuron of an acoustic transformer listen for?",
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> bool:
    if wanted:
        print(f"and-nnsight {__version__}")
        raise typer.Exit
    return wanted


# In the order of the work, which is that of the help.
_GROUPS = (
    demo,
    dissect,
    merge,
    explain,
    label,
    concept_scores,
    score,
    search,
    best,
    show,
    fires_on,
    exemplars,
    hear,
    report,
    explore,
    unlearn,
    findings,
    compare,
    export,
    push,
    pull,
    plugins,
)
for group in _GROUPS:
    group.register(app)


@app.callback()
def _global(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and end.", is_eager=True, callback=_print_version)
    ] = False,
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], typer.Option(help="What is logged on standard error.")
    ] = "warning",
) -> None:
    """What does each neuron of an acoustic transformer listen for?"""
    _log_to_standard_error(log_level)


def _log_to_standard_error(level: str) -> None:
    """What the library logs, without others' logs: each command's own, however often one is called in a process."""
    log, handler = logging.getLogger("and_nnsight"), logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    for earlier in [each for each in log.handlers if type(each) is logging.StreamHandler]:
        log.removeHandler(earlier)
    log.addHandler(handler)
    log.setLevel(level.upper())


@functools.cache
def _whole() -> Any:
    """All commands, put together once in a process: it takes longer than what many of them do."""
    return typer.main.get_command(app)


def main() -> None:
    """Entry point of `and-nnsight`."""
    warnings.showwarning = _show_warning
    try:
        Path.cwd()  # where the folder is gone, libraries end the process with words of their own
        sys.exit(_whole()(with_value(sys.argv[1:] or ["--help"]), prog_name="and-nnsight", standalone_mode=False))
    except Exception as error:
        if wants_traceback():
            raise
        text, code = sentence(error)
        print(f"error: {plain(text)}", file=sys.stderr)
        sys.exit(code)


def _show_warning(message: Warning | str, category: type[Warning], *rest: object) -> None:
    if issubclass(category, UserWarning):
        print(f"warning: {plain(message)}", file=sys.stderr)
