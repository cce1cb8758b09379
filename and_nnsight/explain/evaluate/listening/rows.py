"""What a listener's answers amount to: the rows of the table `listening`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from ...records.claim_rows import ListeningRow
from ...roles import Failure
from .measures import areas, chance_of_area, chance_of_difference, chance_of_finding, intruder_credit, judged_rightly
from .plans import Plan
from .trials import LineUp, Trials

ClipQuestion = tuple[str | None, tuple[int, ...]]
"""A statement, or none, and the ids of the clips that it was asked of."""


def row_of(plan: Plan, answers: Mapping[ClipQuestion, np.ndarray | Failure], threshold: float | None) -> ListeningRow:
    """The row of a claim, out of the answers to all that was asked of it."""
    claim, trials = plan.claim, plan.trials
    row = ListeningRow(
        site=claim.site, unit=claim.unit, source=claim.source, text=claim.text, statement=plan.statement,
        clips=list(trials.clips), fires=list(trials.fires), others=0, intruder_trials=0, asked=plan.hash,
    )  # fmt: skip
    if not trials.clips:
        return replace(row, failure="the unit is the same, or not finite, on all held-out clips")
    own = answers[plan.statement, trials.clips]
    others = [answers[text, trials.clips] for text in plan.others]
    if isinstance(own, Failure):
        row = replace(row, failure=own.reason)
    else:
        row = _with_detection(row, own, others, trials, threshold)
    if trials.line_ups:
        fits = [answers[None, line_up.clips] for line_up in trials.line_ups]
        row = _with_intruders(row, fits, trials.line_ups)
    return row


def _with_detection(
    row: ListeningRow,
    own: np.ndarray,
    others: Sequence[np.ndarray | Failure],
    trials: Trials,
    threshold: float | None,
) -> ListeningRow:
    fires = np.array(trials.fires)
    area, chance = float(areas(own[None], fires)[0]), chance_of_area(own, fires)
    row = replace(
        row,
        fits=own.tolist(),
        detection=judged_rightly(own, fires, threshold),
        detection_auc=area,
        p_chance=chance,
        p=chance,
    )
    failed = next((fits for fits in others if isinstance(fits, Failure)), None)
    if failed is not None:
        return replace(row, failure=f"of what is said of another unit: {failed.reason}")
    answered = [fits for fits in others if not isinstance(fits, Failure)]
    if not answered:
        return row
    of_others = areas(np.stack(answered), fires)
    words = chance_of_difference(own, np.stack(answered), fires)
    return replace(
        row,
        others=len(answered),
        others_detection=float(np.mean([judged_rightly(fits, fires, threshold) for fits in answered])),
        others_auc=float(of_others.mean()),
        p_words=words,
        p=max(chance, words),
    )


def _with_intruders(
    row: ListeningRow, answers: Sequence[np.ndarray | Failure], line_ups: Sequence[LineUp]
) -> ListeningRow:
    """With what comes of the line-ups that were answered; the first reason why others were not."""
    failed = next((fits for fits in answers if isinstance(fits, Failure)), None)
    row = replace(row, intruder_failure=None if failed is None else failed.reason)
    judged = [(fits, one) for fits, one in zip(answers, line_ups, strict=True) if not isinstance(fits, Failure)]
    if not judged:
        return row
    fits, places = [fits for fits, _ in judged], [one.place for _, one in judged]
    return replace(
        row,
        intruder=float(np.mean([intruder_credit(each, place) for each, place in zip(fits, places, strict=True)])),
        intruder_trials=len(judged),
        intruder_p=chance_of_finding(fits, places),
        intruder_clips=[list(one.clips) for _, one in judged],
        intruder_places=places,
        intruder_fits=[each.tolist() for each in fits],
    )
