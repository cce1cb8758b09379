"""`--remote [URL]`: an option whose value may be left out, which typer does not have."""

from __future__ import annotations

from collections.abc import Sequence

OPTION = "--remote"
DEFAULT = "default"


def with_value(arguments: Sequence[str]) -> list[str]:
    """The arguments with a value after every `--remote`: a URL or "local" if one follows, else "default".

    `--remote=…` stays as it is, and so does everything after `--`.
    """
    given: list[str] = []
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        if argument == "--":
            return [*given, argument, *rest]
        if argument == OPTION:
            follows = rest[0] if rest else ""
            argument = f"{OPTION}={rest.pop(0) if follows in ('local', DEFAULT) or '://' in follows else DEFAULT}"
        given.append(argument)
    return given


def place(remote: str) -> bool | str:
    """What `dissect(remote=…)` takes for the option's value. Raises ValueError for an empty one."""
    if not remote:
        raise ValueError(f"{OPTION} is empty: give it a server's URL, local, or no value at all for nnsight's host")
    return True if remote == DEFAULT else remote
