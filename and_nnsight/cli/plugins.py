"""`plugins`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from ..wording import counted
from ._output import clean

if TYPE_CHECKING:
    from ..plugins import InstalledPlugin


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command()(plugins)


def plugins(
    check: Annotated[bool, typer.Option("--check", help="Import each, to see that it can be: some seconds.")] = False,
) -> None:
    """List what is installed, by role; what cannot be used here says why."""
    from ..plugins import ROLES, installed
    from ._plugin_source import about

    console, every = Console(), installed(None if check else about)
    for role in ROLES.values():
        of_role = [plugin for plugin in every if plugin.role == role.name]
        missing = "" if of_role else f"\n  none is installed; for example {role.example}"
        console.print(f"[bold]{role.name}[/bold]{missing}")
        console.print(_table(of_role))
    console.print("\nChosen by name, with what it needs after a colon: --chat transformers:REPO")
    if not check:
        console.print("Listed is what is installed; whether each can be imported: and-nnsight plugins --check")
        return
    broken = [plugin for plugin in every if plugin.broken]
    found = f"{counted(len(broken), 'plugin')} cannot be used here: see above" if broken else "all can be imported"
    console.print(f"{counted(len(every), 'plugin')} tried: {found}")


def _table(plugins: Sequence[InstalledPlugin]) -> Table:
    from ..plugins import OURS

    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    for plugin in plugins:
        description = clean(plugin.description)
        if plugin.distribution != OURS:
            description += f" [dim]from {clean(plugin.distribution)}[/dim]"
        if plugin.broken:
            description += f"\n[yellow]{clean(plugin.broken)}[/yellow]"
        table.add_row(f"  {clean(plugin.name)}", description)
    return table
