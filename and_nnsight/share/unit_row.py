"""A unit in a table of all units."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..dissection.decimals import Single
from ..dissection.table_row import TableRow


@dataclass(frozen=True)
class UnitRow(TableRow):
    """What is known of a unit, in a row of the table `units`.

    selectivity        how far its top clips that are evidence lie above its mean, in its own standard deviations
    mean, deviation    of its pooled activation over all clips; None if it was never finite
    active             share of clips, 0 to 1, with a pooled activation above zero; None likewise
    highest, lowest    pooled activation of its first and its last clip; None likewise
    evidence           how many of its top clips are evidence of what it responds to
    best_clip          id of the first of these; `best_path` its file; None where there is none
    best_start, best_end  seconds from that clip's start between which it fires; None where that is unknown
    best_token         the text of the token at which it fires there; None where frames are sound
    common_label       the label of the data that most of these share; `common_count` how many; None without labels
    explanation        in words, calibrated where it has been; None if it has not been explained
    explanation_holds  whether they tell its clips, beyond acoustics, on clips of another run; None: not judged
    explanation_verdict  that in words, with the q; None: not scored
    label              its first label, by the way of labelling `label_method`; `label_score` how well it goes with it
    label_holds, label_verdict  as of the explanation
    """

    table: ClassVar[str] = "units"
    key: ClassVar[tuple[str, ...]] = ("site", "unit")

    site: str
    unit: int
    selectivity: Single
    mean: Single | None
    deviation: Single | None
    active: Single | None
    highest: Single | None
    lowest: Single | None
    evidence: int
    best_clip: int | None = None
    best_path: str | None = None
    best_start: float | None = None
    best_end: float | None = None
    best_token: str | None = None
    common_label: str | None = None
    common_count: int | None = None
    explanation: str | None = None
    explanation_holds: bool | None = None
    explanation_verdict: str | None = None
    label: str | None = None
    label_method: str | None = None
    label_score: Single | None = None
    label_holds: bool | None = None
    label_verdict: str | None = None
