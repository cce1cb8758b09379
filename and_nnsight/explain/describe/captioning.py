"""How a captioner is asked, and what becomes of its answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from itertools import chain
from typing import Any

from ...dissection.errors import DissectionError
from ...plugins import PluginError
from ...progress import step_progress
from ...run.options import RunOptions
from ..records.clip_audio import ClipOrFailure
from ..records.description_rows import CaptionRow
from ..records.row_buffer import RowBuffer
from ..roles import Clip, Failure, Span
from ..text.repetition import clean_repeated

LONGEST = 2_000
"""Characters of a caption that are kept: a model that floods must not drown the prompts. `raw` has all of it."""


def write_captions(
    clips: Iterable[ClipOrFailure],
    captioner: Any,
    add: Callable[[list[CaptionRow]], None],
    run: RunOptions,
    total: int | None,
) -> None:
    """Caption clips batch by batch; whatever stops it, every answer that came is written.

    add    writes rows
    total  clips, for the progress bar
    """
    batch: list[Clip] = []
    with step_progress("captions", total, run.progress) as advance, RowBuffer(add) as buffer:
        for clip in chain(clips, [None]):
            if isinstance(clip, Clip):
                batch.append(clip)
            elif clip is not None:
                buffer.add([caption_row(*clip)])
                advance(1)
            if len(batch) == run.batch_size or (clip is None and batch):
                buffer.add(_rows(captioner, batch))
                advance(len(batch))
                batch = []


def caption_row(span: Span, answer: Any) -> CaptionRow:
    """The row of an answer: text that says nothing, and anything but text, is a failure."""
    if isinstance(answer, Failure):
        return CaptionRow(*span, failure=answer.reason)
    if not isinstance(answer, str):
        return CaptionRow(*span, failure=f"the captioner answered with {type(answer).__name__}, not text")
    text = clean_repeated(answer)
    if not text:
        return CaptionRow(*span, raw=answer, failure="the caption is empty")
    return CaptionRow(*span, caption=text[:LONGEST].rstrip(), raw=answer)


def _rows(captioner: Any, batch: Sequence[Clip]) -> Iterator[CaptionRow]:
    """One row a clip; where the user stops it, those that came."""
    answers: list[Any] = []
    try:
        for answer in _answers(captioner, batch):
            answers.append(answer)
        if len(answers) != len(batch):
            answers = [_wrong_count(len(answers), len(batch))] * len(batch)
    except (PluginError, DissectionError):
        raise
    except Exception as error:
        answers += [Failure(f"{type(error).__name__}: {error}")] * (len(batch) - len(answers))
    except BaseException:
        yield from (caption_row(clip.span, answer) for clip, answer in zip(batch, answers, strict=False))
        raise
    yield from (caption_row(clip.span, answer) for clip, answer in zip(batch, answers, strict=True))


def _answers(captioner: Any, batch: Sequence[Clip]) -> Iterator[Any]:
    """The answers as they come, one more than there are clips at most."""
    answers = captioner.caption(batch)
    if not isinstance(answers, Iterable) or isinstance(answers, str | bytes | Mapping | Set):
        reason = f"the captioner answered {len(batch)} clips with {type(answers).__name__}, not one caption a clip"
        yield from [Failure(reason)] * len(batch)
        return
    for place, answer in enumerate(answers):
        yield answer
        if place == len(batch):
            return


def _wrong_count(count: int, clips: int) -> Failure:
    """Answers that are not as many as the clips belong to nobody knows which of them."""
    return Failure(f"the captioner gave {'more' if count > clips else count} captions for {clips} clips")
