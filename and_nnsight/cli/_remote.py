"""`--remote [URL]`: typer refuses options whose value may be left out (`flag_value` is gone), so argv is completed."""

from __future__ import annotations

from collections.abc import Sequence

OPTION = "--remote"
DEFAULT = "default"


def with_value(arguments: Sequence[str]) -> list[str]:
    """The arguments with a value after every `--remote`: a URL or "local" if one follows, else "default".

    `--remote=…` stays as it is, and so does everything after `--`.
    """
    complete: list[str] = []
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        if argument == "--":
            return [*complete, argument, *rest]
        if argument == OPTION:
            server = rest.pop(0) if rest and _is_server(rest[0]) else DEFAULT
            argument = f"{OPTION}={server}"
        complete.append(argument)
    return complete


def _is_server(argument: str) -> bool:
    return argument in ("local", DEFAULT) or "://" in argument


def place(remote: str) -> bool | str:
    """What `dissect(remote=…)` takes for the option's value. Raises ValueError for an empty one."""
    if not remote:
        raise ValueError(f"{OPTION} is empty: give it a server's URL, local, or no value at all for nnsight's host")
    return True if remote == DEFAULT else remote
