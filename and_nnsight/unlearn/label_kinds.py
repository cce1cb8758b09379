"""Which of the labels in a dissection's table are meant, where `label` was run in several ways."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ..explain.records.claim_rows import LabelRow
from .unit_set import ChoiceError


@dataclass(frozen=True)
class LabelFilter:
    """Labels by a method; of one similarity and one encoder, where these are not None."""

    method: str
    similarity: str | None = None
    encoder: str | None = None

    def __str__(self) -> str:
        parts = ", ".join(part for part in (self.similarity, self.encoder) if part)
        return f"{self.method} with {parts}" if parts else self.method

    def includes(self, row: LabelRow) -> bool:
        """Whether a label is of this kind."""
        return (
            row.method == self.method
            and self.similarity in (None, row.similarity)
            and self.encoder in (None, row.encoder)
        )


def one_kind(rows: Iterable[LabelRow], method: str) -> dict[str, Any]:
    """The similarity, list of concepts and encoder that labels were made by.

    Raises ChoiceError where some were made by others, which tells what would tell them apart.
    """
    kinds = sorted({(row.similarity, row.concepts, row.encoder) for row in rows}, key=str)
    if len(kinds) > 1:
        each = "; ".join(" ".join(str(part) for part in kind if part) for kind in kinds)
        raise ChoiceError(
            f"there are labels by {method} of several kinds ({each}: similarity, list of concepts, encoder): say "
            "similarity= or encoder= (--similarity, --encoder)"
        )
    return dict(zip(("similarity", "concepts", "encoder"), kinds[0], strict=True))
