"""What a listener's answers amount to: the rows of the table `listening`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as arrow

from ...records.tables import Row
from ...roles import Failure
from .measures import areas, chance_of_area, chance_of_difference, chance_of_finding, intruder_credit, judged_rightly
from .plans import Plan
from .trials import LineUp, Trials

ClipQuestion = tuple[str | None, tuple[int, ...]]
"""A statement, or none, and the ids of the clips that it was asked of."""

SCHEMA = arrow.schema(
    [
        ("site", arrow.string()),
        ("unit", arrow.int64()),
        ("source", arrow.string()),
        ("text", arrow.string()),
        ("statement", arrow.string()),  # the text without counts, as the listener got it
        ("clips", arrow.list_(arrow.int64())),
        ("fires", arrow.list_(arrow.bool_())),
        ("fits", arrow.list_(arrow.float64())),
        ("detection", arrow.float64()),
        ("detection_auc", arrow.float64()),
        ("others", arrow.int64()),
        ("others_detection", arrow.float64()),
        ("others_auc", arrow.float64()),
        ("p_chance", arrow.float64()),
        ("p_words", arrow.float64()),
        ("p", arrow.float64()),
        ("intruder", arrow.float64()),
        ("intruder_trials", arrow.int64()),
        ("intruder_p", arrow.float64()),
        ("intruder_clips", arrow.list_(arrow.list_(arrow.int64()))),
        ("intruder_places", arrow.list_(arrow.int64())),
        ("intruder_fits", arrow.list_(arrow.list_(arrow.float64()))),
        ("failure", arrow.string()),
        ("intruder_failure", arrow.string()),
        ("asked", arrow.string()),  # hash of all that is asked of the claim
    ]
)
KEY = ("site", "unit", "source")


def row_of(plan: Plan, answers: Mapping[ClipQuestion, np.ndarray | Failure], threshold: float | None) -> Row:
    """The row of a claim, out of the answers to all that was asked of it."""
    claim, trials = plan.claim, plan.trials
    row: Row = dict.fromkeys(SCHEMA.names) | {
        "site": claim.site, "unit": claim.unit, "source": claim.source, "text": claim.text,
        "statement": plan.statement, "clips": list(trials.clips), "fires": list(trials.fires), "others": 0,
        "intruder_trials": 0, "asked": plan.hash,
    }  # fmt: skip
    if not trials.clips:
        return row | {"failure": "the unit is the same, or not finite, on all held-out clips"}
    own = answers[plan.statement, trials.clips]
    others = [answers[text, trials.clips] for text in plan.others]
    row |= {"failure": own.reason} if isinstance(own, Failure) else _detection(own, others, trials, threshold)
    if trials.line_ups:
        row |= _intruder([answers[None, line_up.clips] for line_up in trials.line_ups], trials.line_ups)
    return row


def _detection(own: np.ndarray, others: Sequence[np.ndarray | Failure], trials: Trials, threshold: float | None) -> Row:
    fires = np.array(trials.fires)
    area, chance = float(areas(own[None], fires)[0]), chance_of_area(own, fires)
    row: Row = {
        "fits": own.tolist(),
        "detection": judged_rightly(own, fires, threshold),
        "detection_auc": area,
        "p_chance": chance,
        "p": chance,
    }
    failed = next((fits for fits in others if isinstance(fits, Failure)), None)
    if failed is not None:
        return row | {"failure": f"of what is said of another unit: {failed.reason}"}
    answered = [fits for fits in others if not isinstance(fits, Failure)]
    if answered:
        of_others = areas(np.stack(answered), fires)
        row |= {
            "others": len(answered),
            "others_detection": float(np.mean([judged_rightly(fits, fires, threshold) for fits in answered])),
            "others_auc": float(of_others.mean()),
        }
        words = chance_of_difference(own, np.stack(answered), fires)
        row |= {"p_words": words, "p": max(chance, words)}
    return row


def _intruder(answers: Sequence[np.ndarray | Failure], line_ups: Sequence[LineUp]) -> Row:
    """Of the line-ups that were answered; the first reason why others were not."""
    failed = next((fits for fits in answers if isinstance(fits, Failure)), None)
    row: Row = {"intruder_failure": None if failed is None else failed.reason}
    judged = [(fits, one) for fits, one in zip(answers, line_ups, strict=True) if not isinstance(fits, Failure)]
    return row | _judged_line_ups([fits for fits, _ in judged], [one for _, one in judged]) if judged else row


def _judged_line_ups(fits: Sequence[np.ndarray], line_ups: Sequence[LineUp]) -> Row:
    places = [one.place for one in line_ups]
    return {
        "intruder": float(np.mean([intruder_credit(each, place) for each, place in zip(fits, places, strict=True)])),
        "intruder_trials": len(fits),
        "intruder_p": chance_of_finding(fits, places),
        "intruder_clips": [list(one.clips) for one in line_ups],
        "intruder_places": places,
        "intruder_fits": [each.tolist() for each in fits],
    }
