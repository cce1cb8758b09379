"""Rows of the tables that describe units: captions, summaries, what calibration leaves of them, their words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from ...dissection.table_row import TableRow
from ..roles import Span


@dataclass(frozen=True)
class CaptionRow(TableRow):
    """The caption of a clip, or of an excerpt of it.

    start, end  seconds; None: the whole clip
    caption     without loops, cut where it floods; None if it failed
    raw         what the captioner answered
    background  whether it is one of the sample that words are held against
    """

    table: ClassVar[str] = "captions"
    key: ClassVar[tuple[str, ...]] = ("clip", "start", "end")

    clip: int
    start: float | None = None
    end: float | None = None
    caption: str | None = None
    raw: str | None = None
    failure: str | None = None
    background: bool | None = False

    @property
    def span(self) -> Span:
        """What was captioned."""
        return Span(self.clip, self.start, self.end)


@dataclass(frozen=True)
class SummaryRow(TableRow):
    """What a unit's highly and lowly clips have in common.

    highly, lowly  text; None where there is none
    failure        which side, and why
    highly_clips, lowly_clips, contrast_clips  ids of the clips whose captions were read
    requests       ids in the table `requests`
    corpus         hash of the corpus, where the summarizer is deterministic
    """

    table: ClassVar[str] = "summaries"
    key: ClassVar[tuple[str, ...]] = ("site", "unit")

    site: str
    unit: int
    highly: str | None = None
    lowly: str | None = None
    failure: str | None = None
    highly_clips: list[int] | None = None
    lowly_clips: list[int] | None = None
    contrast_clips: list[int] | None = None
    requests: list[str] | None = None
    corpus: str | None = None


class Dropped(NamedTuple):
    """A sentence that was dropped, the lowly sentence nearest to it, and their cosine."""

    sentence: str
    lowly: str
    similarity: float


@dataclass(frozen=True)
class CalibratedRow(TableRow):
    """What calibration leaves of a unit's summary.

    calibrated    the sentences that are left, as one text; None without a summary of the highly clips
    summary_hash  of what was calibrated: a summary that is made anew is calibrated anew
    """

    table: ClassVar[str] = "calibrated"
    key: ClassVar[tuple[str, ...]] = ("site", "unit")

    site: str
    unit: int
    calibrated: str | None = None
    kept: list[str] | None = None
    dropped: list[Dropped] | None = None
    failure: str | None = None
    summary_hash: str | None = None


@dataclass(frozen=True)
class ConceptRow(TableRow):
    """A word of a unit's calibrated summary: its base form, its part of speech, and how often the summary has it.

    acoustic  whether it describes sound; adjectives only
    """

    table: ClassVar[str] = "concepts"
    key: ClassVar[tuple[str, ...]] = ("site", "unit", "word", "part")

    site: str
    unit: int
    word: str
    part: str
    count: int
    acoustic: bool | None = None


@dataclass(frozen=True)
class WordRow(TableRow):
    """Whether an adjective describes sound, and what says so: a chat model or the list."""

    table: ClassVar[str] = "words"
    key: ClassVar[tuple[str, ...]] = ("word",)

    word: str
    acoustic: bool | None
    source: str
    answer: str | None = None
    request: str | None = None
    failure: str | None = None


@dataclass(frozen=True)
class RequestRow(TableRow):
    """A conversation that was sent to a chat model, and the answer.

    id        `roles.Request.id`
    messages  as JSON; None where the conversation was too long to be sent
    options   as JSON
    """

    table: ClassVar[str] = "requests"
    key: ClassVar[tuple[str, ...]] = ("id",)

    id: str
    model: str
    prompt_hash: str
    messages: str | None
    options: str
    seed: int
    answer: str | None
    failure: str | None
    seconds: float
