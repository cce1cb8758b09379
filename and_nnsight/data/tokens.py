"""Tokens that a model read or wrote while it heard a clip."""

from __future__ import annotations

from typing import NamedTuple


class Token(NamedTuple):
    """A token of a clip's own text.

    id          in the model's vocabulary
    text        what it stands for, as its tokenizer says
    start, end  seconds from the clip's start; None where the model gives no time
    """

    id: int
    text: str
    start: float | None = None
    end: float | None = None
