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

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import typer

from ..wording import counted
from ._config_file import NAME, read_config
from ._used_options import UsedOptions, dissection_parameter, option_name


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
        folder = dissection_parameter(command)
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


def _values(path: Path, command: Any, table: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a table by the parameters' own names. Raises ValueError for keys and types that are wrong."""
    known = {option_name(each): each for each in command.params if each.name not in ("config", "help")}
    hints = get_type_hints(command.callback)
    values: dict[str, Any] = {}
    for name, value in table.items():
        key = name.replace("_", "-")
        if key not in known:
            raise ValueError(f"{path}: {command.name} has no option {name!r}{_near(key, known)}")
        parameter = known[key]
        kind = _kind(hints[parameter.name])
        each = value if parameter.multiple and isinstance(value, list) else [value]
        if not all(_is_of_kind(one, kind) for one in each):
            wanted = _in_words(kind, parameter.multiple)
            raise ValueError(f"{path}: {name} of [{command.name}] is {wanted}, not {value!r}")
        values[str(parameter.name)] = each if parameter.multiple else value
    return values


_KINDS: dict[type, tuple[type, ...]] = {bool: (bool,), int: (int,), float: (int, float), str: (str,)}
_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text in quotes"}


def _in_words(kind: type, several: bool) -> str:
    return f"{_WORDS[kind]}, or a list of such" if several else _WORDS[kind]


def _kind(hint: Any) -> type:
    """What kind of value an option has, or of which kind each of its values is."""
    inner = [part for part in get_args(hint) if part is not type(None)]
    if hint in _KINDS or not inner or get_origin(hint) is Literal:
        return hint if hint in (bool, int, float) else str
    return _kind(inner[0])


def _is_of_kind(value: Any, kind: type) -> bool:
    return isinstance(value, _KINDS[kind]) and (kind is bool or not isinstance(value, bool))


def _near(name: str, known: Mapping[str, Any]) -> str:
    near = get_close_matches(name, known, 3, 0.5)
    if near:
        return f": did you mean {' or '.join(near)}?"
    return f": there are {', '.join(sorted(known))}" if known else f": it has {counted(0, 'table')}"
