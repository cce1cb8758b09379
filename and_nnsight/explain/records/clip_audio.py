"""Clips with their audio, for captioners and audio encoders: those of a dissection again, or of data before one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ...audio.limits import MOST_SAMPLES
from ...audio.loading import AudioError, load
from ...data import Item, Source
from ...data.options import DataOptions
from ...dissection.clip_source import check_files, files_of, place_of, reopened, wanted_items
from ...dissection.clips import ClipRow
from ...dissection.dissection import Dissection
from ...dissection.errors import DissectionError
from ..roles import Clip, Failure, Span

_NO_SAMPLES = np.empty(0, np.float32)
_SAME_SECONDS = 1e-3  # a file whose length differs by more is not the one that was dissected
_RECORDED = ("label", "caption")

ClipOrFailure = Clip | tuple[Span, Failure]


def dissection_clips(
    dissection: Dissection,
    spans: Iterable[Span],
    *,
    sampling_rate: int | None,
    data: Any = None,
    column: str | None = None,
) -> Iterator[ClipOrFailure]:
    """The clips of spans, in their order; for a clip that cannot be read, its span and why.

    Audio is read from the clips' own files. Where they are not there (data in memory, a hub's stream), `data` is read
    instead: what was dissected, anything that `dissect` takes. It is read once, forwards; give the spans by clip, so
    that no clip has to wait for its turn in memory, and spans of one clip are cut from one decoding.

    sampling_rate  samples a second that are wanted; None: no audio is decoded, and samples are empty
    column         a column of the dataset to have among `Clip.columns` beside "label" and "caption"

    Raises DissectionError if there is neither a file nor data, or the data is not what was dissected; ValueError for a
    column that the data does not have (it lists those it has).
    """
    wanted = list(spans)
    more = None if column is None or column in columns_of(dissection) else column
    paths = {} if sampling_rate is None else files_of(dissection, (span.clip for span in wanted))
    lacking = [clip for clip, path in paths.items() if path is None]
    if more is not None or (lacking and data is not None):
        source = reopened(dissection, _place_of(dissection, more) if data is None else data, more)
        return _from_source(dissection, source, wanted, sampling_rate, more)
    check_files(dissection, len(paths), lacking)
    return _from_files(dissection, paths, wanted, sampling_rate)


def data_clips(
    data: Any,
    options: DataOptions | None = None,
    *,
    sampling_rate: int | None,
    column: str | None = None,
    source_rate: int | None = None,
) -> Iterator[ClipOrFailure]:
    """Every clip of data that has not been dissected, whole, in the order and with the ids that `dissect` gives them.

    `sampling_rate` and `column` are those of `dissection_clips`. Where a `column` is
    asked for, the dataset's captions are not read. `source_rate` is the rate of bare waveforms, which do not say theirs
    (the rate of the model, for `dissect`); None: the one wanted.

    Raises ValueError for data, a split or a column that is not there.
    """
    options = options or DataOptions()
    other = None if column in (None, "label", options.label_column) else column
    if other not in (None, "caption") or options.caption_column is None:
        options = replace(options, caption_column=other)
    return _all_of(options.open(data), sampling_rate, source_rate, other or "caption")


def columns_of(dissection: Dissection) -> dict[str, str]:
    """The columns that the dissection keeps of its clips and where: {"label": "label", "text": "caption", …}.

    Only those that some clip has a value in; under the names "label" and "caption" and the dataset's own.
    """
    recorded = {name for name in _RECORDED if any(getattr(row, name) is not None for row in dissection.clips.values())}
    named = {dissection.manifest.dataset.label_column: "label", dissection.manifest.dataset.caption_column: "caption"}
    columns = {name: name for name in _RECORDED if name in recorded}
    for column, name in named.items():
        if column is not None and name in recorded:
            columns.setdefault(column, name)
    return columns


def _place_of(dissection: Dissection, column: str | None) -> str:
    """Where the dissected data is on this machine. Raises DissectionError where it is not."""
    place = place_of(dissection)
    if place is None:
        raise DissectionError(
            f"the dissection keeps no column {column!r} of its clips, only "
            f"{', '.join(columns_of(dissection)) or 'none'}: pass data= (--data), what was dissected "
            f"({dissection.manifest.dataset.name})"
        )
    return place


def _from_files(
    dissection: Dissection, paths: Mapping[int, Path | None], spans: Sequence[Span], rate: int | None
) -> Iterator[ClipOrFailure]:
    known = columns_of(dissection)
    last: tuple[int, np.ndarray | Failure] | None = None
    for span in spans:
        row = dissection.clips.get(span.clip)
        if row is None:
            yield span, _not_dissected(span)
            continue
        if last is None or last[0] != span.clip:
            audio: Any = paths.get(span.clip) or row.path
            last = (span.clip, _NO_SAMPLES if rate is None else _decoded(audio, rate, row.sampling_rate, row.seconds))
        yield _cut(span, row.path, _recorded(row, known), last[1], rate)


def _from_source(
    dissection: Dissection, source: Source, spans: Sequence[Span], rate: int | None, column: str | None
) -> Iterator[ClipOrFailure]:
    """One pass over the source. A clip that comes before its turn waits; none does where spans are sorted by clip."""
    known = columns_of(dissection)
    left = Counter(span.clip for span in spans)  # how often each clip is still to come
    coming = _read_items(dissection, source, sorted(left.keys() & dissection.clips.keys()), rate)
    waiting: dict[int, tuple[str | None, np.ndarray | Failure]] = {}
    for span in spans:
        row = dissection.clips.get(span.clip)
        if row is None:
            yield span, _not_dissected(span)
            continue
        while span.clip not in waiting:
            clip, said, decoded = next(coming)
            waiting[clip] = (said, decoded)
        caption, samples = waiting[span.clip]
        left[span.clip] -= 1
        if not left[span.clip]:
            del waiting[span.clip]
        more = {} if column is None else {column: caption}
        yield _cut(span, row.path, _recorded(row, known) | more, samples, rate)


def _read_items(
    dissection: Dissection, source: Source, clips: Sequence[int], rate: int | None
) -> Iterator[tuple[int, str | None, np.ndarray | Failure]]:
    """Of clips (ascending) their ids, captions and samples, or why there are none."""
    for item in wanted_items(source, clips):
        yield item.id, item.caption, _NO_SAMPLES if rate is None else _read(item, rate, dissection.clips[item.id])


def _recorded(row: ClipRow, columns: Mapping[str, str]) -> dict[str, Any]:
    """What the dissection keeps of a clip, by the dataset's names (`columns_of`)."""
    return {name: getattr(row, place) for name, place in columns.items()}


def _all_of(source: Source, rate: int | None, source_rate: int | None, caption: str) -> Iterator[ClipOrFailure]:
    for item in source.items():
        samples = _NO_SAMPLES if rate is None else _decoded(item.audio, rate, _rate(item, source_rate), None, item.path)
        yield _cut(Span(item.id), item.path, {"label": item.label, caption: item.caption}, samples, rate)


def _read(item: Item, rate: int, row: ClipRow) -> np.ndarray | Failure:
    return _decoded(item.audio, rate, _rate(item, row.sampling_rate), row.seconds, item.path)


def _rate(item: Item, otherwise: int | None) -> int | None:
    """The rate of an item that is a bare waveform."""
    return otherwise if item.sampling_rate is None else item.sampling_rate


def _decoded(
    audio: Any, rate: int, source_rate: int | None, seconds: float | None, name: str | None = None
) -> np.ndarray | Failure:
    """The samples, unless the audio cannot be read or does not last so many seconds as when it was dissected."""
    # A bare waveform is at the rate at which it was dissected, not at the one wanted now. A clip of which a model heard
    # the beginning may be too long to be read whole.
    try:
        waveform = load(audio, rate, source_rate=source_rate, name=name, window=MOST_SAMPLES)
    except AudioError as error:
        return Failure(error.reason)
    if seconds is not None and abs(waveform.seconds - seconds) > _SAME_SECONDS:
        return Failure(f"lasts {waveform.seconds:.3f} s, but {seconds:.3f} s when it was dissected: it has changed")
    return waveform.samples


def _cut(
    span: Span, path: str | None, columns: Mapping[str, Any], samples: np.ndarray | Failure, rate: int | None
) -> ClipOrFailure:
    if isinstance(samples, Failure):
        return span, samples
    if rate is not None and span.start is not None and span.end is not None:
        samples = samples[max(0, round(span.start * rate)) : round(span.end * rate)]
        if not len(samples):
            return span, Failure(f"the clip ends before {span.start:g} s")
    return Clip(span, path, columns, samples, rate or 0)


def _not_dissected(span: Span) -> Failure:
    return Failure(f"clip {span.clip} is not among those that were dissected")
