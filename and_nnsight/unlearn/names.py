"""Names of concepts and classes, as they are compared."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from difflib import get_close_matches


def plain_name(name: str) -> str:
    """A concept's or class's name without what differs between ways to write it."""
    return " ".join(name.replace("_", " ").split()).casefold()


def same_name(concept: str, names: Collection[str]) -> str | None:
    """The name in a list that is meant: the same, or the same but for capitals and underscores."""
    if concept in names:
        return concept
    alike = [name for name in names if plain_name(name) == plain_name(concept)]
    return alike[0] if len(alike) == 1 else None


def near_names(name: str, names: Iterable[str]) -> str:
    """A hint at the end of an error; nothing where no name is near."""
    near = get_close_matches(name, list(names), n=5, cutoff=0.4)
    return f"; near names: {', '.join(near)}" if near else ""
