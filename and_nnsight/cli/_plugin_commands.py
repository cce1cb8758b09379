"""Commands of other distributions: entry points in the group `and_nnsight.commands`, each a function as typer takes it.

Nothing of a plugin is imported before its command, or the list of all, is asked for. One that cannot be imported is
listed with the reason, and says it when it is called.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperGroup

_ELSEWHERE = {
    "train-sae": "training a sparse autoencoder is and-nnsight-sae's: pip install and-nnsight-sae, in an environment "
    "without and-nnsight-lens (SAELens needs TransformerLens below 4)"
}
"""Commands of distributions of ours that need not be here, and what to do for them."""


class CommandGroup(TyperGroup):
    """Our own commands and, by the same spelling, those of plugins."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Our own in the order of the work, then those of plugins."""
        from .. import plugins

        own = super().list_commands(ctx)
        return [*own, *(name for name in plugins.names("command") if name not in own)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of this name; None if there is none, ours or a plugin's."""
        from .. import plugins

        own = super().get_command(ctx, cmd_name)
        if own is not None:
            return own
        if cmd_name not in plugins.names("command"):
            return _refusal(cmd_name, _ELSEWHERE[cmd_name]) if cmd_name in _ELSEWHERE else None
        try:
            return _command(cmd_name, plugins.factory("command", cmd_name))
        except plugins.PluginError as error:
            return _refusal(cmd_name, str(error))


def _command(name: str, function: Callable[..., None], **settings: Any) -> Any:
    alone = typer.Typer(add_completion=False)
    alone.command(name, **settings)(function)
    return typer.main.get_command(alone)


def _refusal(name: str, reason: str) -> Any:
    """A command that cannot be used: whatever stands after it, it says why."""

    def refuse() -> None:
        from ..plugins import PluginError

        raise PluginError(reason)

    anything = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
    return _command(name, refuse, help=f"Cannot be used here: {reason}", context_settings=anything)
