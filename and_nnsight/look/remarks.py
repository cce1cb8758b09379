"""What persons add to a page: a word on all of it, on units, and on where its sounds come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..run.exemplar_plan import UnitName, unit_pairs


@dataclass(frozen=True)
class Remarks:
    """What stands on a page beside what was measured; all of it is shown as text.

    note     of the page: paragraphs, with an empty line between them
    notes    of units, by site and index
    credits  of clips, by their ids: whose sound it is, and on what terms
    """

    note: str | None = None
    notes: Mapping[tuple[str, int], str] = field(default_factory=dict)
    credits: Mapping[int, str] = field(default_factory=dict)

    @property
    def paragraphs(self) -> list[str]:
        """Of the page's note."""
        return [part.strip() for part in (self.note or "").split("\n\n") if part.strip()]

    @classmethod
    def of(
        cls,
        widths: Mapping[str, int],
        note: str | None,
        notes: Mapping[UnitName, str] | None,
        credits: Mapping[int, str] | None,
    ) -> Remarks:
        """Of units named in any way. Raises DissectionError for those that sites of these `widths` do not have."""
        pairs = {unit_pairs(widths, [unit])[0]: text for unit, text in (notes or {}).items()}
        return cls(note, pairs, credits or {})


NO_REMARKS = Remarks()
