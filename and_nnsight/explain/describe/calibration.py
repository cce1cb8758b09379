"""Calibration: a sentence about the highly clips that is as true of the lowly ones says nothing of the unit."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import pyarrow as arrow
from jaxtyping import Float

from ... import plugins
from ...dissection.dissection import Dissection
from ...progress import step_progress
from ..providers.embeddings import Embeddings, cosines
from ..records.tables import Row, Table, read_table, table_settings
from ..roles import TextEncoder
from ..text.sentences import idea, joined, telling_sentences

DEFAULT_THRESHOLD = 0.6
_UNITS_AT_ONCE = 2_000
_DECIMALS = 5  # of a similarity: products of the same vectors differ in the last bits with the shape of a batch

SCHEMA = arrow.schema(
    [
        ("site", arrow.string()),
        ("unit", arrow.int64()),
        ("calibrated", arrow.string()),
        ("kept", arrow.list_(arrow.string())),
        (
            "dropped",
            arrow.list_(
                arrow.struct([("sentence", arrow.string()), ("lowly", arrow.string()), ("similarity", arrow.float64())])
            ),
        ),
        ("failure", arrow.string()),
        ("summary_hash", arrow.string()),  # of what was calibrated: a summary that is made anew is calibrated anew
    ]
)

Encode = Callable[[Sequence[str]], Float[np.ndarray, "text dim"]]


class Dropped(NamedTuple):
    """A sentence that was dropped, the lowly sentence nearest to it, and their cosine."""

    sentence: str
    lowly: str
    similarity: float


class Calibrated(NamedTuple):
    """The sentences that are left, and those that are not."""

    kept: tuple[str, ...]
    dropped: tuple[Dropped, ...]


def calibrated(
    highly: Sequence[str], lowly: Sequence[str], encode: Encode, threshold: float = DEFAULT_THRESHOLD
) -> Calibrated:
    """Drop every highly sentence whose cosine with any lowly sentence is greater than a threshold.

    What is dropped does not depend on the order of either side: every pair is compared, and nothing is used up.
    Counts such as (4 of 5) are left out of the comparison. A sentence without a direction (all zeros) is near to none.
    """
    if not highly or not lowly:
        return Calibrated(tuple(highly), ())
    near = cosines(encode([idea(text) for text in highly]), encode([idea(text) for text in lowly]))
    kept: list[str] = []
    dropped: list[Dropped] = []
    for sentence, row in zip(highly, near.astype(np.float64).round(_DECIMALS).tolist(), strict=True):
        similarity, nearest = max(zip(row, lowly, strict=True))
        if similarity > threshold:
            dropped.append(Dropped(sentence, nearest, similarity))
        else:
            kept.append(sentence)
    return Calibrated(tuple(kept), tuple(dropped))


def calibrate(
    found: Dissection,
    *,
    text_encoder: str | TextEncoder = "words",
    threshold: float = DEFAULT_THRESHOLD,
    device: str | None = None,
    progress: bool = True,
) -> list[Row]:
    """Calibrate every unit's summary; returns the rows of the table `calibrated`.

    found         a dissection with summaries (`summarize`)
    text_encoder  plugin: words, sentence-transformers:REPO …
    threshold     cosine above which a sentence is dropped (default 0.6; 0.9 in the paper's picture)

    A unit without a summary of its lowly clips keeps every sentence, and its row says that nothing was compared. One
    without a summary of its highly clips has no calibrated one. Raises DissectionError if there are no summaries,
    PluginError if the encoder cannot be used, ValueError for a threshold that is no cosine.
    """
    check_threshold(threshold)
    summaries = read_table(found, "summaries")
    encoder, name = plugins.resolve("text encoder", text_encoder, device=device)
    settings = {"text_encoder": name, "threshold": threshold, "summaries": table_settings(found, "summaries")}
    with Table(found, "calibrated", SCHEMA, ("site", "unit"), settings) as table:
        due = [row for row in summaries if not _is_done(row, table.get((row["site"], row["unit"])))]
        embeddings = Embeddings(encoder, name)
        with step_progress("calibrating", len(summaries), progress) as advance:
            advance(len(summaries) - len(due))
            waiting = iter(due)
            while some := list(islice(waiting, _UNITS_AT_ONCE)):
                table.add(_rows(some, embeddings, threshold))
                advance(len(some))
        return table.rows()


def check_threshold(threshold: float) -> None:
    """Raise ValueError for what is no cosine."""
    if not -1 <= threshold <= 1:
        raise ValueError(f"the threshold is a cosine between -1 and 1, not {threshold}")


def _is_done(summary: Row, row: Row | None) -> bool:
    return row is not None and row["summary_hash"] == _hash(summary)


def _hash(summary: Row) -> str:
    content = json.dumps([summary["highly"], summary["lowly"], summary["failure"]])
    return hashlib.blake2b(content.encode(), digest_size=8).hexdigest()


def _rows(summaries: Sequence[Row], embeddings: Embeddings, threshold: float) -> list[Row]:
    sides = [tuple(telling_sentences(row[side] or "") for side in ("highly", "lowly")) for row in summaries]
    embeddings([idea(text) for highly, lowly in sides if highly and lowly for text in (*highly, *lowly)])  # in batches
    rows: list[Row] = []
    for summary, (highly, lowly) in zip(summaries, sides, strict=True):
        result = calibrated(highly, lowly, embeddings, threshold)
        row: dict[str, Any] = {
            "site": summary["site"],
            "unit": summary["unit"],
            "calibrated": joined(result.kept) if highly else None,
            "kept": list(result.kept),
            "dropped": [one._asdict() for one in result.dropped],
            "failure": _failure(summary, highly, lowly),
            "summary_hash": _hash(summary),
        }
        rows.append(row)
    return rows


def _failure(summary: Row, highly: Sequence[str], lowly: Sequence[str]) -> str | None:
    if highly and lowly:
        return None
    side, what = ("highly", "nothing to calibrate") if not highly else ("lowly", "nothing was compared")
    said = "no summary" if summary[side] is None else "a summary without a sentence that says something"
    reason = f" ({summary['failure']})" if summary["failure"] else ""
    return f"{what}: {said} of the {side} clips{reason}"
