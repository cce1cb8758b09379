"""The page of the commands: the help of each, with its options, as the command line itself has them."""

from __future__ import annotations

from typing import Any

import typer.main

from and_nnsight.cli import app

from .docstrings import literal


def page() -> str:
    """Every command of ours. Those of plugins are in the plugins' own pages."""
    group: Any = typer.main.get_command(app)
    title = "Commands"
    pieces = [title, "=" * len(title), "", "Errors of use end with code 2 and one sentence, a server's with 1.", ""]
    for name, command in group.commands.items():
        pieces += [*_command(f"and-nnsight {name}", command), ""]
    return "\n".join(pieces)


def _command(title: str, command: Any) -> list[str]:
    lines = [title, "-" * len(title), ""]
    lines += [line for part in (command.help or "").split("\n\n") for line in (_prose(part), "")]
    for option in command.params:
        if not getattr(option, "hidden", False) and option.name != "help":
            lines += [f"``{_spelled(option)}``", f"   {_prose(_help(option))}"]
    return lines


def _spelled(option: Any) -> str:
    if option.param_type_name == "argument":
        return (option.metavar or option.name).upper()
    names = ", ".join([*option.opts, *option.secondary_opts])
    return names if option.is_flag else f"{names} {(option.metavar or option.name).upper()}"


def _help(option: Any) -> str:
    default = option.default
    shown = default is not None and default not in (False, (), [], "") and not callable(default)
    return f"{option.help or ''}{f' (default: {default})' if shown else ''}".strip() or "…"


def _prose(text: str) -> str:
    return literal(" ".join(text.split()))
