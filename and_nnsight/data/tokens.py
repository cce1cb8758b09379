"""Tokens that a model read or wrote while it heard a clip."""

from __future__ import annotations

from typing import NamedTuple


class Token(NamedTuple):
    """A token of a clip's own text.

    id          in the model's vocabulary
    text        what it stands for, as its tokenizer says
    start, end  seconds from the clip's start between which it is said, as the model tells; None where it does not
    """

    id: int
    text: str
    start: float | None = None
    end: float | None = None
