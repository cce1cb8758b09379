"""What a command was run with, which goes into the folder of the dissection that it made or wrote to."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args, get_type_hints

import typer

from ._config_file import NAME, keep
from ._errors import sentence

_MAKES = ("dissect",)
_WRITES = ("explain", "exemplars", "findings", "label", "score", "unlearn")
"""Commands that make a dissection (`--out`), and those whose results belong to one (their argument). Others read it."""
_OF_A_CALL = ("config", "help", "shard", "fresh", "quiet", "as_json")
"""What is of one call, and not of what a folder holds."""
_PLACES = ("model", "second_model", "data", "held_out_data", "labelled", "concepts", "annotations")
"""Options in text that may be a file or folder, beside those that are nothing else."""


class UsedOptions:
    """The arguments and options of a command as they are, wherever they were given."""

    def __init__(self, context: Any) -> None:
        self._context = context

    @contextmanager
    def kept(self) -> Iterator[None]:
        """On leaving, also by Ctrl-C, write them into the folder of the dissection that the command made or wrote to.

        The tables of other commands stay. Nothing is written where the command fails. That they cannot be written is a
        warning: what the command did is done.
        """
        try:
            yield
        except (KeyboardInterrupt, typer.Exit):
            self._keep()
            raise
        self._keep()

    def _keep(self) -> None:
        folder = self._folder()
        if folder is None:
            return
        try:
            place = Path(folder).expanduser()
            if (place / "manifest.json").is_file():
                keep(place / NAME, self._context.command.name, self._values())
        except (OSError, RuntimeError, ValueError) as error:
            warnings.warn(f"what this was run with was not kept in {folder}: {sentence(error)[0]}", stacklevel=2)

    def _folder(self) -> Any:
        """The folder of the dissection that was made or written to. None: there is none."""
        command, values = self._context.command, self._context.params
        name = dissection_parameter(command)
        if command.name in _MAKES:
            return values.get(name)
        elsewhere = command.name == "findings" and values.get("out") is not None
        return values.get(name) if command.name in _WRITES and not elsewhere else None

    def _values(self) -> dict[str, Any]:
        command, values = self._context.command, self._context.params
        hints = get_type_hints(command.callback)
        without = (*_OF_A_CALL, dissection_parameter(command))
        return {
            option_name(each): _repeatable(values[each.name], is_path=_is_path(hints[each.name]), name=each.name)
            for each in command.params
            if each.name not in without and values.get(each.name) not in (None, [], ())
        }


def dissection_parameter(command: Any) -> str | None:
    """The parameter that is the folder of a dissection: the one that a command reads, else the one that it makes."""
    if any(parameter.name == "folder" for parameter in command.params):
        return "folder"
    return "out" if command.name in _MAKES else None


def option_name(parameter: Any) -> str:
    """The long name of an option without its dashes; the name of an argument."""
    if parameter.param_type_name == "argument":
        return str(parameter.name).replace("_", "-")
    return max(parameter.opts, key=len).lstrip("-")


def _is_path(hint: Any) -> bool:
    return hint is Path or any(map(_is_path, get_args(hint)))


def _repeatable(value: Any, *, is_path: bool, name: str) -> Any:
    """A value for a file that may be read from elsewhere: what is a place here, by its whole path."""
    if isinstance(value, (list, tuple)):
        return [_repeatable(each, is_path=is_path, name=name) for each in value]
    if isinstance(value, bool | int | float):
        return value
    text = str(getattr(value, "value", value))
    return _whole_path(text, is_path) if is_path or (name in _PLACES and text) else text


def _whole_path(text: str, is_path: bool) -> str:
    """The whole path of a file or folder; the text itself where it is another thing, such as a name of the hub."""
    try:
        path = Path(text).expanduser()
        return str(path.absolute()) if is_path or path.exists() else text
    except (OSError, RuntimeError, ValueError):  # too long for a name, of a user who is not there, with a null
        return text
