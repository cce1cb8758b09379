"""The one reader of the table `captions`, for all that go by what was said of clips."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ...dissection.dissection import Dissection
from ...dissection.exemplars import Exemplar, Unit
from ...storage import read_parquet
from ..roles import Span
from .description_rows import CaptionRow
from .reading import clip_rows, has_table, read_table, table_settings
from .unit_selection import exemplar_span

DATASETS_OWN = "column:caption"
"""The captioner where the captions are the dataset's own."""


def captioner_of(dissection: Dissection) -> str | None:
    """What made the captions; None where there are none, or they do not say."""
    captioner = table_settings(dissection, CaptionRow.table).get("captioner")
    return str(captioner) if captioner else None


def captions_of(dissection: Dissection) -> dict[Span, str]:
    """The captions that were made. Raises DissectionError if none have been asked for yet."""
    return by_span(read_table(dissection, CaptionRow))


def captions_of_clips(dissection: Dissection, clips: Iterable[int]) -> dict[Span, str]:
    """The captions that were made of some clips and their excerpts; none before any were made."""
    return by_span(clip_rows(dissection, CaptionRow, clips))


def captions_of_unit(dissection: Dissection, unit: Unit) -> dict[Exemplar, str]:
    """The captions that a unit's exemplars were summarized by: of their excerpts or of whole clips; others are absent.

    Before there are summaries: of whole clips.
    """
    exemplars = unit.top + unit.bottom
    captions = captions_of_clips(dissection, {exemplar.clip for exemplar in exemplars})
    excerpt = table_settings(dissection, "summaries").get("excerpt")
    spans = {one: exemplar_span(one, dissection.clips[one.clip].seconds, excerpt) for one in exemplars}
    return {one: captions[span] for one, span in spans.items() if span in captions}


def background_captions(dissection: Dissection) -> list[tuple[str, int]]:
    """The captions, with their clips, of the sample that words are held against."""
    rows = read_table(dissection, CaptionRow)
    return [(row.caption, row.clip) for row in rows if row.background and row.caption is not None]


def clip_captions(dissection: Dissection) -> dict[int, str | None] | None:
    """Of whole clips, by a captioner, None where it failed; None where the dataset's own captions are all there are."""
    if not has_table(dissection, CaptionRow.table) or captioner_of(dissection) == DATASETS_OWN:
        return None
    return _of_whole_clips(read_table(dissection, CaptionRow))


def captions_in_file(path: Path) -> dict[int, str | None]:
    """The captions of whole clips in a Parquet file; None where captioning failed. Raises ValueError for others."""
    return _of_whole_clips(CaptionRow.of_arrow(read_parquet(path)))


def _of_whole_clips(rows: Iterable[CaptionRow]) -> dict[int, str | None]:
    return {row.clip: row.caption for row in rows if row.start is None}


def by_span(rows: Iterable[CaptionRow]) -> dict[Span, str]:
    """The captions of rows, without those that failed."""
    return {row.span: row.caption for row in rows if row.caption is not None}
