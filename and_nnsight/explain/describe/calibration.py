"""Calibration: a sentence about the highly clips that is as true of the lowly ones says nothing of the unit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from ... import plugins
from ...dissection.dissection import Dissection
from ...dissection.rows import Rows
from ...kernels.surroundings import plain_torch
from ...progress import step_progress
from ...run.options import RunOptions
from ...storage import json_hash
from ..providers.batching import chunks_of
from ..providers.embeddings import Embeddings, cosines
from ..records.description_rows import CalibratedRow, Dropped, SummaryRow
from ..records.reading import read_table, table_settings
from ..records.tables import Table
from ..roles import TextEncoder
from ..text.sentences import idea, join_sentences, telling_sentences
from .options import DEFAULT_THRESHOLD, CalibrationOptions

_UNITS_AT_ONCE = 2_000
_DECIMALS = 5  # of a similarity: products of the same vectors differ in the last bits with the shape of a batch

Encode = Callable[[Sequence[str]], Float[np.ndarray, "text dim"]]


@dataclass(frozen=True)
class Calibration:
    """The sentences that are left, and those that are not."""

    kept: tuple[str, ...]
    dropped: tuple[Dropped, ...]


def calibrate_sentences(
    highly: Sequence[str], lowly: Sequence[str], encode: Encode, threshold: float = DEFAULT_THRESHOLD
) -> Calibration:
    """Drop every highly sentence whose cosine with any lowly sentence is greater than a threshold.

    What is dropped does not depend on the order of either side: every pair is compared, and nothing is used up.
    Counts such as (4 of 5) are left out of the comparison. A sentence without a direction (all zeros) is near to none.
    """
    if not highly or not lowly:
        return Calibration(tuple(highly), ())
    near = cosines(encode([idea(text) for text in highly]), encode([idea(text) for text in lowly]))
    kept: list[str] = []
    dropped: list[Dropped] = []
    for sentence, row in zip(highly, near.astype(np.float64).round(_DECIMALS).tolist(), strict=True):
        similarity, nearest = max(zip(row, lowly, strict=True))
        if similarity > threshold:
            dropped.append(Dropped(sentence, nearest, similarity))
        else:
            kept.append(sentence)
    return Calibration(tuple(kept), tuple(dropped))


@plain_torch()
def calibrate(
    dissection: Dissection,
    *,
    text_encoder: str | TextEncoder = "words",
    threshold: float = DEFAULT_THRESHOLD,
    device: str | None = None,
    progress: bool = True,
) -> Rows[CalibratedRow]:
    """Calibrate every unit's summary; returns the rows of the table `calibrated`.

    dissection    a dissection with summaries (`summarize`)
    text_encoder  plugin: words, sentence-transformers:REPO …
    threshold     cosine above which a sentence is dropped (default 0.6; 0.9 in the paper's picture)

    A unit without a summary of its lowly clips keeps every sentence, and its row says that nothing was compared. One
    without a summary of its highly clips has no calibrated one. Raises DissectionError if there are no summaries,
    PluginError if the encoder cannot be used, ValueError for a threshold that is no cosine.
    """
    options = CalibrationOptions(text_encoder, threshold)
    return calibrate_summaries(dissection, options, RunOptions(device=device, progress=progress))


def calibrate_summaries(dissection: Dissection, options: CalibrationOptions, run: RunOptions) -> Rows[CalibratedRow]:
    """What `calibrate` does."""
    check_threshold(options.threshold)
    summaries = read_table(dissection, SummaryRow)
    encoder, name = plugins.resolve("text encoder", options.text_encoder, device=run.device)
    summary_settings = table_settings(dissection, "summaries")
    settings = {"text_encoder": name, "threshold": options.threshold, "summaries": summary_settings}
    with Table(dissection, CalibratedRow, settings) as table:
        due = [row for row in summaries if not _is_done(row, table.get((row.site, row.unit)))]
        embeddings = Embeddings(encoder, name)
        with step_progress("calibrating", len(summaries), run.progress) as advance:
            advance(len(summaries) - len(due))
            for chunk in chunks_of(due, _UNITS_AT_ONCE):
                table.add(_rows(chunk, embeddings, options.threshold))
                advance(len(chunk))
        return table.rows()


def check_threshold(threshold: float) -> None:
    """Raise ValueError for what is no cosine."""
    if not -1 <= threshold <= 1:
        raise ValueError(f"the threshold is a cosine between -1 and 1, not {threshold}")


def _is_done(summary: SummaryRow, row: CalibratedRow | None) -> bool:
    return row is not None and row.summary_hash == _hash(summary)


def _hash(summary: SummaryRow) -> str:
    return json_hash([summary.highly, summary.lowly, summary.failure])


def _rows(summaries: Sequence[SummaryRow], embeddings: Embeddings, threshold: float) -> list[CalibratedRow]:
    sides = [(telling_sentences(row.highly or ""), telling_sentences(row.lowly or "")) for row in summaries]
    ideas: list[str] = []  # all at once, so that the encoder gets whole batches
    for highly, lowly in sides:
        ideas += [idea(text) for text in (*highly, *lowly)] if highly and lowly else []
    embeddings(ideas)
    return [
        _row(summary, highly, lowly, calibrate_sentences(highly, lowly, embeddings, threshold))
        for summary, (highly, lowly) in zip(summaries, sides, strict=True)
    ]


def _row(summary: SummaryRow, highly: Sequence[str], lowly: Sequence[str], result: Calibration) -> CalibratedRow:
    return CalibratedRow(
        site=summary.site,
        unit=summary.unit,
        calibrated=join_sentences(result.kept) if highly else None,
        kept=list(result.kept),
        dropped=list(result.dropped),
        failure=_failure(summary, highly, lowly),
        summary_hash=_hash(summary),
    )


def _failure(summary: SummaryRow, highly: Sequence[str], lowly: Sequence[str]) -> str | None:
    if highly and lowly:
        return None
    if not highly:
        side, text, what = "highly", summary.highly, "nothing to calibrate"
    else:
        side, text, what = "lowly", summary.lowly, "nothing was compared"
    lacking = "no summary" if text is None else "a summary without a sentence that says something"
    reason = f" ({summary.failure})" if summary.failure else ""
    return f"{what}: {lacking} of the {side} clips{reason}"
