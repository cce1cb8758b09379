"""Clips of a batch that run together, and what was read while they were heard."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

from ..data.tokens import Token
from .features import Features


@runtime_checkable
class Hearing(Protocol):
    """A clip as a reader wants it: what is said of it, and what was read while it was heard, if that is known."""

    @property
    def label(self) -> str | None:
        """What the dataset files it under."""
        ...

    @property
    def caption(self) -> str | None:
        """What the dataset says of it."""
        ...

    @property
    def seconds(self) -> float | None:
        """How long it is; None where that is not known."""
        ...

    @property
    def tokens(self) -> Sequence[Token] | None:
        """The tokens of its answer; None where they are still to be had."""
        ...


class Forward(NamedTuple):
    """Clips of a batch that run together.

    rows      which they are
    features  their model inputs, with the positions of frames where a reader says which these are
    tokens    of each its own text, where its frames are tokens of that
    """

    rows: Sequence[int]
    features: Features
    tokens: Sequence[list[Token]] | None = None
