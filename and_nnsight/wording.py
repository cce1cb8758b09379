"""How counts and commands are put in messages."""

from __future__ import annotations

import shlex

from .redaction import without_credentials


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """`1 clip`, `0 clips`, `1,200 clips`. `plural`: where it is not the noun with an s."""
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"


def command(*words: object) -> str:
    """A command of and-nnsight as it can be pasted into a shell, whatever its words hold."""
    return shlex.join(["and-nnsight", *(without_credentials(str(word)) for word in words)])


def agree(count: int, one: str, several: str) -> str:
    """The form of a word that goes with a count."""
    return one if count == 1 else several
