"""Tokens that a model read or wrote while it heard a clip."""

from __future__ import annotations

from typing import NamedTuple


class Token(NamedTuple):
    """A token of a clip's own text.

    id    in the model's vocabulary
    text  what it stands for, as its tokenizer says
    """

    id: int
    text: str
