"""The measurements of a dissection's clips, kept: `explanations/acoustics.parquet`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ...dissection.dissection import Dissection
from ...progress import step_progress
from ..records.acoustics import Acoustics, AcousticsRow
from ..records.clip_audio import ClipOrFailure, dissection_clips
from ..records.row_buffer import RowBuffer
from ..records.tables import Table
from ..roles import Failure, Span
from .measuring import SAMPLING_RATE, measure

VERSION = 2  # of what is measured, and how: another number measures again


def measure_acoustics(
    dissection: Dissection,
    *,
    data: Any = None,
    spans: Iterable[Span] | None = None,
    progress: bool = True,
) -> dict[Span, Acoustics | Failure]:
    """Measure clips and keep the numbers in `explanations/acoustics.parquet`; those that are there are not measured.

    data   what was dissected; needed where the clips lie in no file
    spans  what is measured; None: every clip of the dissection, whole

    Returns the measurements of the spans. For errors see `dissection_clips`.
    """
    wanted = sorted(map(Span, dissection.clips)) if spans is None else list(spans)
    settings = {"sampling_rate": SAMPLING_RATE, "version": VERSION}
    with Table(dissection, AcousticsRow, settings) as table:
        missing = [span for span in wanted if _lacks(table, span)]
        bar = step_progress("acoustics", len(missing), progress)
        with bar as advance, RowBuffer(table.add) as buffer:
            for clip in dissection_clips(dissection, missing, sampling_rate=SAMPLING_RATE, data=data):
                buffer.add([_row(clip)])
                advance(1)
        return {span: table[tuple(span)].answer for span in wanted}


def _lacks(table: Table[AcousticsRow], span: Span) -> bool:
    row = table.get(tuple(span))
    return row is None or row.failure is not None


def _row(clip: ClipOrFailure) -> AcousticsRow:
    if isinstance(clip, tuple):
        return AcousticsRow.of(*clip)
    return AcousticsRow.of(clip.span, measure(clip.samples, clip.sampling_rate))
