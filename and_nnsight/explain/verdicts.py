"""What scoring has shown of a claim, for whoever prints the claim: a claim that has changed since has no verdict."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ..dissection import Dissection
from .tables import Row, has_table, read_table


@dataclass(frozen=True)
class Verdict:
    """How a claim did on held-out clips; see `and_nnsight.explain.score`.

    null       the null model that stood against it; `null_pearson`, `null_auprc` are that one's
    p          how often claims about other units do as well
    failure    why it cannot be judged; then the numbers may be missing
    """

    source: str
    text: str
    beats_null: bool
    pearson: float | None
    auprc: float | None
    base_rate: float | None
    null: str | None
    null_pearson: float | None
    null_auprc: float | None
    p: float | None
    detection: float | None
    failure: str | None

    def __str__(self) -> str:
        """In a sentence or two."""
        if self.auprc is None or self.pearson is None or self.base_rate is None:
            return f"Not judged: {self.failure}."
        own = f"AUPRC {self.auprc:.2f} (chance {self.base_rate:.2f}), Pearson {self.pearson:.2f}"
        if self.detection is not None:
            own += f", detection {self.detection:.0%}"
        said = f"{own}; {self.null} alone {self.null_auprc:.2f}, {self.null_pearson:.2f}"
        said += "" if self.p is None else f"; p {self.p:.2f}"
        if self.beats_null:
            return f"{said}."
        return f"Does not beat its null. {said}." if self.failure is None else f"Not judged: {self.failure}. {said}."


def verdict(row: Row) -> Verdict:
    """The verdict of a row of `scores`."""
    return Verdict(**{name: row[name] for name in Verdict.__dataclass_fields__})


class Verdicts:
    """The verdicts of a dissection, or of some rows of its table `scores`, looked up by what is claimed of a unit."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self._of = {(row["site"], row["unit"], row["source"]): verdict(row) for row in rows}

    @classmethod
    def read(cls, found: Dissection) -> Verdicts:
        """All of them; none where nothing has been scored."""
        return cls(read_table(found, "scores") if has_table(found, "scores") else ())

    def __call__(self, site: str, unit: int, source: str, text: str | None) -> Verdict | None:
        """The verdict on a claim; None if it has not been scored, or said something else when it was."""
        known = self._of.get((site, unit, source))
        return known if known is not None and known.text == text else None

    def __len__(self) -> int:
        return len(self._of)

    def counts(self, said: Mapping[tuple[str, int], str | None], source: str) -> tuple[int, int]:
        """How many of the claims that stand beat their null, and how many have a verdict."""
        found = [known for at, text in said.items() if (known := self(*at, source, text)) is not None]
        return sum(1 for known in found if known.beats_null), len(found)
