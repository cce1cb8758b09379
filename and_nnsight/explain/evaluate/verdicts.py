"""What scoring has shown of a claim, for whoever prints the claim: a claim that has changed since has no verdict."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ...dissection.dissection import Dissection
from ...wording import Brief
from ..records.claim_rows import ScoreRow
from ..records.reading import has_table, read_table


@dataclass(frozen=True)
class Verdict(Brief):
    """How a claim did on held-out clips; see `and_nnsight.explain.score`.

    predicts          whether it tells its unit's clips; p and q of that
    beyond_acoustics  whether it does so beyond loudness, duration, silence and brightness; p_beyond and q_beyond of
                      that. False where it does not predict
    level             the false-discovery rate that q was held against
    others_as_good    the share of the claims about other units of the site that tell this one as well, information
    null              the one of these that goes best with the unit; `null_pearson`, `null_auprc` are that one's
    failure           why it cannot be judged; then there are no numbers
    """

    source: str
    text: str
    predicts: bool
    beyond_acoustics: bool
    p: float | None
    q: float | None
    p_beyond: float | None
    q_beyond: float | None
    level: float | None
    others_as_good: float | None
    pearson: float | None
    auprc: float | None
    base_rate: float | None
    null: str | None
    null_pearson: float | None
    null_auprc: float | None
    detection: float | None
    failure: str | None

    @property
    def holds(self) -> bool:
        """Whether both answers are yes."""
        return self.predicts and self.beyond_acoustics

    @property
    def distinctive(self) -> bool:
        """Whether at most 1 in 20 of the claims about other units of the site tells this one as well."""
        return self.others_as_good is not None and self.others_as_good <= DISTINCTIVE

    @property
    def answer(self) -> str:
        """Both answers, in words: "predicts its clips (q 0.003), more than …", "does not predict its clips (q 0.4)"."""
        if self.failure is not None or self.q is None or self.q_beyond is None:
            return f"not judged: {self.failure}"
        if not self.predicts:
            return f"does not predict its clips (q {_digits(self.q)})"
        but = "" if self.beyond_acoustics else "but not "
        return f"predicts its clips (q {_digits(self.q)}), {but}more than {ACOUSTICS} do (q {_digits(self.q_beyond)})"

    def __str__(self) -> str:
        """In a few sentences: the answers, and the numbers beside them."""
        sentences = f"{self.answer[0].upper()}{self.answer[1:]}."
        if self.auprc is None or self.pearson is None or self.base_rate is None:
            return sentences
        own = f"AUPRC {self.auprc:.2f} (chance {self.base_rate:.2f}), Pearson {self.pearson:z.2f}"
        if self.detection is not None:
            own += f", detection {self.detection:.0%}"
        sentences += f" {own}; {self.null} alone {self.null_auprc:.2f}, {self.null_pearson:z.2f}."
        if self.others_as_good is not None:
            sentences += (
                f" By the order of its top clips, {self.others_as_good:.0%} of what is said of the site's other units "
                "does as well."
            )
        return sentences


DISTINCTIVE = 0.05
ACOUSTICS = "loudness, duration, silence and brightness"


def _digits(q: float) -> str:
    """A q as it is printed."""
    return f"{q:.2g}" if q < 0.04 or q > 0.06 else f"{q:.3f}"  # near 0.05 both sides of it must be told apart


def verdict(row: ScoreRow) -> Verdict:
    """The verdict of a row of `scores`."""
    return Verdict(**{name: getattr(row, name) for name in Verdict.__dataclass_fields__})


class Verdicts:
    """The verdicts of a dissection, or of some rows of its table `scores`, looked up by what is claimed of a unit."""

    def __init__(self, rows: Iterable[ScoreRow]) -> None:
        self._of = {(row.site, row.unit, row.source): verdict(row) for row in rows}

    @classmethod
    def read(cls, dissection: Dissection) -> Verdicts:
        """All of them; none where nothing has been scored."""
        return cls(read_table(dissection, ScoreRow) if has_table(dissection, "scores") else ())

    def __call__(self, site: str, unit: int, source: str, text: str | None) -> Verdict | None:
        """The verdict on a claim; None if it has not been scored, or said something else when it was."""
        latest = self._of.get((site, unit, source))
        return latest if latest is not None and latest.text == text else None

    def __len__(self) -> int:
        return len(self._of)

    def counts(self, claims: Mapping[tuple[str, int], str | None], source: str) -> tuple[int, int]:
        """How many of the claims that stand hold, and how many have a verdict."""
        verdicts = [self(*unit, source, text) for unit, text in claims.items()]
        standing = [one for one in verdicts if one is not None]
        return sum(1 for one in standing if one.holds), len(standing)
