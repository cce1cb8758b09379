"""How a summarizer is asked about units, and the rows that its answers become, whatever they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from ...progress import step_progress
from ..providers.answers import match_answers
from ..providers.batching import chunks_of
from ..records.description_rows import SummaryRow
from ..records.row_buffer import RowBuffer
from ..records.tables import Table
from ..roles import LONGEST_SUMMARY, CaptionedExemplar, Failure, Summary
from .evidence import EvidenceOrReason

_BATCH = 256  # units handed to a summarizer at once: enough that batches of a chat model are of like length
_LONGEST_REASON = 500


def write_summaries(
    table: Table[SummaryRow],
    summarizer: Any,
    units: Iterable[EvidenceOrReason],
    corpus: str | None,
    total: int,
    show: bool,
) -> None:
    """Summarize batch by batch; whatever stops it, every summary that came is written.

    corpus  its hash, if it goes into the rows
    total   units, for the progress bar
    """
    with step_progress("summaries", total, show) as advance, RowBuffer(table.add) as buffer:
        for batch in chunks_of(units, _BATCH):
            for row in _rows(summarizer, batch):
                buffer.add([replace(row, corpus=corpus)])
                advance(1)


def _rows(summarizer: Any, batch: Sequence[EvidenceOrReason]) -> Iterator[SummaryRow]:
    """The rows of units as they come; of those without highly captions nothing is asked."""
    with_evidence = [unit for unit in batch if unit.evidence.highly]
    failure = Failure("not summarized, as the highly clips cannot be")
    yield from (_row(unit, Summary(failure, failure)) for unit in batch if not unit.evidence.highly)
    for place, answer in match_answers(summarizer.summarize, [unit.evidence for unit in with_evidence]):
        yield _row(with_evidence[place], answer)


def _row(unit: EvidenceOrReason, answer: Any) -> SummaryRow:
    evidence, summary = unit.evidence, _read(answer)
    highly = summary.highly if unit.highly is None else Failure(unit.highly)
    lowly = summary.lowly if unit.lowly is None else Failure(unit.lowly)
    reasons = (*_reason("highly", highly), *_reason("lowly", lowly))
    return SummaryRow(
        site=evidence.site,
        unit=evidence.unit,
        highly=None if isinstance(highly, Failure) else highly,
        lowly=None if isinstance(lowly, Failure) else lowly,
        failure="; ".join(reasons) or None,
        highly_clips=_clips(evidence.highly),
        lowly_clips=_clips(evidence.lowly),
        contrast_clips=_clips(evidence.contrast),
        requests=list(summary.requests),
    )


def _reason(side: str, text: str | Failure) -> list[str]:
    return [f"{side}: {text.reason[:_LONGEST_REASON]}"] if isinstance(text, Failure) else []


def _clips(exemplars: Iterable[CaptionedExemplar]) -> list[int]:
    return [exemplar.clip for exemplar in exemplars]


def _read(answer: Any) -> Summary:
    """A summarizer's answer, whatever it is, with sides that are texts or failures."""
    if not isinstance(answer, Summary | Failure):
        answer = Failure(f"the summarizer answered with {type(answer).__name__}, not a Summary")
    if isinstance(answer, Failure):
        return Summary(answer, answer)
    return Summary(_text(answer.highly), _text(answer.lowly), tuple(map(str, answer.requests)))


def _text(text: Any) -> str | Failure:
    if isinstance(text, Failure):
        return text
    if not isinstance(text, str):
        return Failure(f"the summarizer answered with {type(text).__name__}, not text")
    if len(text) > LONGEST_SUMMARY:
        return Failure(f"the summary is a flood of {len(text):,} characters")
    return text.strip() or Failure("the summary is empty")
