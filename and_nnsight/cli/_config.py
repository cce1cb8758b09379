"""`--config`: a command's arguments and options out of a TOML file, and those that a run used written into its folder.

A file has a table a command, and in it a key an argument or option, by its long name without the dashes:

    [dissect]
    model = "openai/whisper-tiny.en"
    data = "sounds"
    sites = ["blocks.*.mlp.hook_post"]
    k = 32

A folder stands for the `config.toml` in it, and for itself where the command wants a folder and is given none. What
stands on the command line comes before what stands in the file.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import typer

from ..storage import undamaged
from ..wording import counted
from ._config_file import written

NAME = "config.toml"
_OF_A_CALL = ("config", "help", "shard", "fresh", "quiet", "as_json")
"""What is of one call, and not of what a folder holds."""


class UsedOptions:
    """The arguments and options of a command as they are, wherever they were given."""

    def __init__(self, context: Any) -> None:
        self._context = context

    @contextmanager
    def kept(self) -> Iterator[None]:
        """On leaving, also by Ctrl-C, write them into the folder of the dissection that the command made or read.

        The tables of other commands stay. Nothing is written where the command fails.
        """
        try:
            yield
        except (KeyboardInterrupt, typer.Exit):
            self._keep()
            raise
        self._keep()

    def _keep(self) -> None:
        command, values = self._context.command, self._context.params
        folder = _folder_of(command)
        place = Path(values.get(folder) or "").expanduser()
        if folder is None or not (place / "manifest.json").is_file():
            return
        tables = read_config(place / NAME) if (place / NAME).exists() else {}
        used = {
            _key(each): _repeatable(values[each.name])
            for each in command.params
            if each.name not in (*_OF_A_CALL, folder) and values.get(each.name) not in (None, [], ())
        }
        written(place / NAME, {**tables, command.name: used})


def _folder_of(command: Any) -> str | None:
    """The parameter that is the folder of a dissection: the one that a command reads, else the one that it makes."""
    names = [parameter.name for parameter in command.params]
    return next((name for name in ("folder", "out") if name in names), None)


def _take(context: Any, _parameter: Any, given: Any) -> Any:
    """Make a file's values the defaults of the command that is being read; what it then used."""
    if given is not None:
        place = Path(given).expanduser()
        path = place / NAME if place.is_dir() else place
        tables = read_config(path)
        command = context.command
        if command.name not in tables:
            raise ValueError(f"{path} has no table [{command.name}]{_near(str(command.name), tables)}")
        defaults = _values(path, command, tables[str(command.name)])
        folder = _folder_of(command)
        if place.is_dir() and folder is not None:
            defaults = {folder: given} | defaults
        context.default_map = defaults
    return UsedOptions(context)


Config = Annotated[
    str | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="Take options out of a TOML file, of its table of this command, or out of the folder of an earlier run.",
        is_eager=True,
        callback=_take,
    ),
]
"""The option, whose value is `UsedOptions`."""


def read_config(path: Path) -> dict[str, dict[str, Any]]:
    """The tables of a file. Raises ValueError for one that is none, and for what stands outside of tables."""
    if not path.exists():
        raise ValueError(f"{path} is not there: give a TOML file, or the folder of a run that was made with options")
    with undamaged(path, "mend it; it is a TOML file with a table a command"):
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise ValueError(f"{path}: {name} stands in no table: put it below the name of its command, as [dissect]")
    return tables


def _values(path: Path, command: Any, table: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a table by the parameters' own names. Raises ValueError for keys and types that are wrong."""
    known = {_key(each): each for each in command.params if each.name not in ("config", "help")}
    hints = get_type_hints(command.callback)
    values: dict[str, Any] = {}
    for name, value in table.items():
        key = name.replace("_", "-")
        if key not in known:
            raise ValueError(f"{path}: {command.name} has no option {name!r}{_near(key, known)}")
        parameter = known[key]
        kind = _kind(hints[parameter.name])
        each = value if parameter.multiple and isinstance(value, list) else [value]
        if not all(isinstance(one, _KINDS[kind]) and (kind is bool or not isinstance(one, bool)) for one in each):
            wanted = f"{_SAID[kind]}, or a list of such" if parameter.multiple else _SAID[kind]
            raise ValueError(f"{path}: {name} of [{command.name}] is {wanted}, not {value!r}")
        values[str(parameter.name)] = each if parameter.multiple else value
    return values


_KINDS: dict[type, tuple[type, ...]] = {bool: (bool,), int: (int,), float: (int, float), str: (str,)}
_SAID = {bool: "true or false", int: "a whole number", float: "a number", str: "text in quotes"}


def _kind(hint: Any) -> type:
    """What kind of value an option has, or of which kind each of its values is."""
    inner = [part for part in get_args(hint) if part is not type(None)]
    if hint in _KINDS or not inner or get_origin(hint) is Literal:
        return hint if hint in (bool, int, float) else str
    return _kind(inner[0])


def _key(parameter: Any) -> str:
    """The long name of an option without its dashes; the name of an argument."""
    if parameter.param_type_name == "argument":
        return str(parameter.name).replace("_", "-")
    return max(parameter.opts, key=len).lstrip("-")


def _near(name: str, known: Mapping[str, Any]) -> str:
    near = get_close_matches(name, known, 3, 0.5)
    if near:
        return f": did you mean {' or '.join(near)}?"
    return f": there are {', '.join(sorted(known))}" if known else f": it has {counted(0, 'table')}"


def _repeatable(value: Any) -> Any:
    """A value for a file that may be read from elsewhere: what is a file or folder here, by its whole path."""
    if isinstance(value, (list, tuple)):
        return [_repeatable(each) for each in value]
    if isinstance(value, bool | int | float):
        return value
    text = str(getattr(value, "value", value))
    path = Path(text).expanduser()
    return str(path.absolute()) if text and path.exists() else text
