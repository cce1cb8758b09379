"""Explanations of planted units, true and false, and the scores of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from and_nnsight import Dissection
from and_nnsight.explain import score
from and_nnsight.explain.evaluate.verdicts import verdict
from and_nnsight.explain.records.claim_rows import ScoreRow
from and_nnsight.explain.records.description_rows import CaptionRow
from and_nnsight.explain.records.tables import Table
from tests.explain.scored_dissection import SITE, UNITS

SAID = {
    "dog": "Dog barking (5 of 5).",
    "bell": "Church bell (4 of 5). Rain falling (1 of 5).",
    "rain": "Rain falling (5 of 5).",
    "siren": "Church bell (5 of 5).",  # not true
    "engine": "Engine humming (5 of 5).",
    "loud": "Church bell (3 of 5).",  # neither
    "bright": "Siren wailing (3 of 5).",
    "chance": "Dog barking (3 of 5).",
    "constant": "Dog barking (2 of 5).",
    "broken": "Dog barking (3 of 5).",
    "half": "Dog barking (4 of 5).",
}


def rows_of(pair: tuple[Dissection, Dissection], **options: object) -> dict[tuple[str, str], ScoreRow]:
    rows = score(*pair, progress=False, **options)
    return {(UNITS[row.unit] if row.site == SITE else f"other {row.unit}", row.source): row for row in rows}


def explained(pair: tuple[Dissection, Dissection], **options: object) -> dict[str, ScoreRow]:
    return {name: row for (name, source), row in rows_of(pair, **options).items() if source == "explanation"}


def holds(row: ScoreRow) -> bool:
    return verdict(row).holds


def _caption_anew(dissection: Dissection, captions: dict[int, str]) -> None:
    with Table(dissection, CaptionRow, {"captioner": "test"}) as table:
        table.add(CaptionRow(clip, caption=caption) for clip, caption in captions.items())


def without_rates(row: ScoreRow) -> ScoreRow:
    """Without what hangs on how many claims there are."""
    return replace(row, q=None, q_beyond=None, predicts=False, beyond_acoustics=False)


def plain_average_precision(predicted: np.ndarray, fires: np.ndarray) -> float:
    """Over thresholds from the highest down: recall gained × precision."""
    found, before = 0.0, 0
    for threshold in sorted(set(predicted.tolist()), reverse=True):
        taken = predicted >= threshold
        hits = int((taken & fires).sum())
        found += (hits - before) / fires.sum() * hits / taken.sum()
        before = hits
    return found
