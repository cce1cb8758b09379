"""Options by topic: a command takes a dataclass, and typer, which knows only single parameters, sees its fields."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import wraps
from typing import Any, cast, get_type_hints

from ._config import Config
from ._used_options import UsedOptions


def with_option_groups(command: Callable[..., None]) -> Callable[..., None]:
    """A command as typer takes it: in place of every parameter that is a dataclass, an option for each of its fields.

    It has the option `--config` besides, and writes what it was run with into the folder that it made (see `_config`).

    Options stand in `--help` where the group stands among the parameters. A field is declared as a parameter would be:
    `name: Annotated[type, typer.Option(...)] = default`.
    """
    signature = inspect.signature(command, eval_str=True)
    annotations: dict[str, Any] = {name: parameter.annotation for name, parameter in signature.parameters.items()}
    groups: dict[str, Any] = {name: annotation for name, annotation in annotations.items() if is_dataclass(annotation)}
    flat: list[inspect.Parameter] = []
    for name, parameter in signature.parameters.items():
        flat += _parameters(groups[name]) if name in groups else [_keyword(parameter)]
    flat.append(inspect.Parameter("config", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Config))

    @wraps(command)
    def with_flat_options(*, config: UsedOptions, **values: Any) -> None:
        for name, group in groups.items():
            values[name] = group(**{field.name: values.pop(field.name) for field in fields(group)})
        with config.kept():
            command(**values)

    typed = cast("Any", with_flat_options)  # a function's type knows of no signature that is set
    typed.__signature__ = signature.replace(parameters=flat)
    typed.__annotations__ = {parameter.name: parameter.annotation for parameter in flat}
    return with_flat_options


def _parameters(group: Any) -> list[inspect.Parameter]:
    """A keyword for every field of a dataclass."""
    annotations = get_type_hints(group, include_extras=True)
    return [
        inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=_default(field), annotation=annotations[field.name]
        )
        for field in fields(group)
    ]


def _default(field: Field[Any]) -> Any:
    return inspect.Parameter.empty if field.default is MISSING else field.default


def _keyword(parameter: inspect.Parameter) -> inspect.Parameter:
    return parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
