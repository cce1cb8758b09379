"""What is claimed of every unit, and how that stands, looked up by unit."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..dissection.dissection import Dissection
from ..explain.evaluate.claims import explanations
from ..explain.evaluate.verdicts import Verdict, Verdicts
from ..explain.labels.concept_lists import concept_text
from ..explain.records.claim_rows import LabelRow
from ..explain.records.description_rows import CalibratedRow, SummaryRow
from ..explain.records.reading import rows_of_every_unit

At = tuple[str, int]


class Claims:
    """The explanation and the first label of each unit of a dissection; none where nothing has been said."""

    def __init__(self, dissection: Dissection) -> None:
        self._explanations = explanations(
            rows_of_every_unit(dissection, SummaryRow), rows_of_every_unit(dissection, CalibratedRow)
        )
        self._labels = first_labels(rows_of_every_unit(dissection, LabelRow))
        self._verdicts = Verdicts.read(dissection)

    def of(self, site: str, unit: int) -> dict[str, Any]:
        """The columns of a `UnitRow` that say what is claimed of a unit."""
        text, row = self._explanations.get((site, unit)), self._labels.get((site, unit))
        columns: dict[str, Any] = {"explanation": text}
        columns |= _standing("explanation", self._verdicts(site, unit, "explanation", text) if text else None)
        if row is not None and row.concept is not None:
            name = concept_text(row.concept)
            columns |= {"label": name, "label_method": row.method, "label_score": row.score}
            columns |= _standing("label", self._verdicts(site, unit, row.source, name))
        return columns


def first_labels(rows: Iterable[LabelRow]) -> dict[At, LabelRow]:
    """The first label of each unit, by the way of labelling that comes first."""
    chosen: dict[At, LabelRow] = {}
    for row in rows:
        if row.concept is not None and row.rank == 0:
            at = row.site, row.unit
            if at not in chosen or row.source < chosen[at].source:
                chosen[at] = row
    return chosen


def _standing(claim: str, verdict: Verdict | None) -> dict[str, Any]:
    if verdict is None:
        return {}
    judged = verdict.failure is None
    return {f"{claim}_holds": verdict.holds if judged else None, f"{claim}_verdict": verdict.answer}
