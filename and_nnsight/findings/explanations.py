"""The explanations of units: which have one, how many words of which kind it has, and whether it holds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Int64

from ..dissection.dissection import Dissection
from ..dissection.errors import DissectionError
from ..dissection.next_step import run_first
from ..explain.evaluate.verdicts import Verdicts
from ..explain.records.claim_rows import ScoreRow
from ..explain.records.description_rows import CalibratedRow, ConceptRow, WordRow
from ..explain.records.reading import has_table, read_table, table_settings
from ..explain.text.acoustic_adjectives import is_basic
from ..explain.text.english import compounds
from ..explain.text.sentences import idea
from ..wording import agree, counted
from .names import BASIC, HIGH_LEVEL, KINDS, LENGTH
from .site_selection import SiteSelection, select_sites

NEVER_EXPLAINED = 0
"""No explanation was ever asked for."""
NO_SUMMARY = 1
"""There is no summary of the unit's highly clips: the summarizer found nothing in common, or failed."""
NOTHING_LEFT = 2
"""There was a summary, and calibration dropped every sentence: all of it holds of the lowly clips too."""
EXPLAINED = 3
"""There is an explanation."""


@dataclass(frozen=True, eq=False)
class Explanations:
    """The explanations of the units of some sites; arrays go over all units, site by site.

    status      NEVER_EXPLAINED, NO_SUMMARY, NOTHING_LEFT or EXPLAINED
    words       how many distinct words of each of `KINDS` (adjectives: acoustic ones only) its explanation has
    most        how many exemplars a summary is made of, where all are evidence; None: not known
    fewer       whether fewer of the unit's exemplars are evidence
    holds       whether its explanation predicts its clips, more than loudness and the like do (the table `scores`):
                1 yes, 0 no, −1 not scored or judged, or scored when it was another
    uncalibrated  units whose lowly clips have no summary, so that nothing could be dropped
    untested    adjectives without a verdict whether they are acoustic: they are nobody's
    rows        the rows of the table `concepts` that are of these units
    """

    selection: SiteSelection
    status: Int64[np.ndarray, " unit"]
    words: dict[str, Int64[np.ndarray, " unit"]]
    most: int | None
    fewer: Bool[np.ndarray, " unit"]
    holds: Int64[np.ndarray, " unit"]
    uncalibrated: int
    untested: int
    rows: list[ConceptRow]
    made_with: dict[str, Any]

    @property
    def summarised(self) -> Bool[np.ndarray, " unit"]:
        """Units with a summary, whether or not calibration left anything of it."""
        return self.status >= NOTHING_LEFT

    def counts(self, among: Bool[np.ndarray, " unit"] | None = None) -> dict[str, int]:
        """How many units there are, and how many of them have what."""
        among = np.ones(len(self.status), bool) if among is None else among
        status = self.status[among]
        return {
            "units": len(status),
            "with_summary": int((status >= NOTHING_LEFT).sum()),
            "of_fewer_clips": int((self.fewer & self.summarised & among).sum()),
            "nothing_left": int((status == NOTHING_LEFT).sum()),
            "no_summary": int((status == NO_SUMMARY).sum()),
            "never_explained": int((status == NEVER_EXPLAINED).sum()),
        }

    def facts(self) -> dict[str, Any]:
        """Sites, counts and settings, for the record."""
        counts = self.counts()
        return {
            **self.selection.facts(),
            **counts,
            "clips_of_a_summary": self.most,
            "scored": int((self.holds >= 0).sum()),
            "hold": int((self.holds == 1).sum()),
            "uncalibrated": self.uncalibrated,
            "untested_adjectives": self.untested,
            "concepts": self.made_with,
        }


def summary_counts(counts: Mapping[str, Any]) -> str:
    """How many units have a summary and how many have none, in words."""
    have, units = counts["with_summary"], counted(counts["units"], "unit")
    text = f"{have:,} of {units} {agree(have, 'has', 'have')} a summary"
    among = {
        f"from fewer than {counts.get('clips_of_a_summary')} clips": counts["of_fewer_clips"],
        "with nothing left after calibration": counts["nothing_left"],
    }
    several = [f"{count:,} {what}" for what, count in among.items() if count]
    if several:
        text += f" (of them {', '.join(several)})"
    if counts["no_summary"]:
        text += f"; without one: {counts['no_summary']:,}"
    if counts["never_explained"]:
        text += f"; never explained: {counts['never_explained']:,}"
    if counts.get("scored"):
        text += f"; {counts['hold']:,} of the {counts['scored']:,} that were scored hold"
    return text


def read_explanations(
    dissection: Dissection, sites: str | Iterable[str] | None = None, *, in_blocks: bool = False
) -> Explanations:
    """Read the explanations of the units of sites (see `select_sites`).

    Raises DissectionError, which names the command to run, where there are no calibrated summaries or no concepts yet,
    or where the concepts were drawn out of other summaries.
    """
    selection = select_sites(dissection, sites, in_blocks=in_blocks)
    calibrated = selection.rows(read_table(dissection, CalibratedRow))
    concepts = selection.rows(read_table(dissection, ConceptRow))
    made_with = table_settings(dissection, "concepts")
    if "calibrated" in made_with and made_with["calibrated"] != table_settings(dissection, "calibrated"):
        raise DissectionError(
            f"the concepts in {dissection.place} are of earlier summaries: "
            f"{run_first(dissection, 'explain', '--step', 'concepts')}"
        )
    verdicts = read_table(dissection, WordRow) if has_table(dissection, "words") else []
    most = table_settings(dissection, "summaries").get("k")
    return Explanations(
        selection=selection,
        status=_status(selection, calibrated),
        words=_word_counts(selection, calibrated, concepts),
        most=most,
        fewer=_of_fewer_clips(dissection, selection, most),
        holds=_holding(dissection, selection, calibrated),
        uncalibrated=sum(1 for row in calibrated if row.kept and row.failure),
        untested=sum(1 for row in verdicts if row.failure),
        rows=concepts,
        made_with=made_with,
    )


def _status(selection: SiteSelection, calibrated: Sequence[CalibratedRow]) -> Int64[np.ndarray, " unit"]:
    status = np.full(selection.units, NEVER_EXPLAINED, np.int64)
    for row in calibrated:
        summarised = NOTHING_LEFT if row.calibrated is not None else NO_SUMMARY
        status[selection.place(row)] = EXPLAINED if row.calibrated is not None and row.kept else summarised
    return status


def _word_counts(
    selection: SiteSelection, calibrated: Sequence[CalibratedRow], concepts: Sequence[ConceptRow]
) -> dict[str, Int64[np.ndarray, " unit"]]:
    words = {kind: np.zeros(selection.units, np.int64) for kind in KINDS}
    for row in calibrated:
        length = sum(len(compounds(idea(sentence))) for sentence in row.kept or ())
        words[LENGTH][selection.place(row)] = length
    for row in concepts:
        for kind in _kinds(row):
            words[kind][selection.place(row)] += 1
    return words


def _holding(
    dissection: Dissection, selection: SiteSelection, calibrated: Sequence[CalibratedRow]
) -> Int64[np.ndarray, " unit"]:
    """Whether the explanation of each unit holds on held-out clips: 1 yes, 0 no, −1 not known."""
    holds = np.full(selection.units, -1, np.int64)
    scores = read_table(dissection, ScoreRow) if has_table(dissection, "scores") else []
    verdicts = Verdicts(row for row in scores if row.source == "explanation" and row.failure is None)
    for row in calibrated:
        verdict = verdicts(row.site, row.unit, "explanation", row.calibrated) if len(verdicts) else None
        if verdict is not None:
            holds[selection.place(row)] = verdict.holds
    return holds


def _of_fewer_clips(dissection: Dissection, selection: SiteSelection, most: int | None) -> Bool[np.ndarray, " unit"]:
    """Which units have fewer exemplars that are evidence than a summary is made of."""
    if most is None:
        return np.zeros(selection.units, bool)
    counts = [dissection.evidence_arrays(site, "top", most).counts() for site in selection.sites]
    return np.concatenate(counts) < most


def _kinds(row: ConceptRow) -> Sequence[str]:
    """The kinds of words, but for length, that a row of `concepts` counts in."""
    if row.part != "adjective":
        return (row.part,)
    if not row.acoustic:
        return ()
    return ("adjective", BASIC if is_basic(row.word) else HIGH_LEVEL)
