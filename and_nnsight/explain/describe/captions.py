"""Captions of the clips that units need, or of all: `explanations/captions.parquet`, one row a clip or excerpt."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence, Set
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as arrow
import torch

from ...data import open_source
from ...dissection.dissection import Dissection, DissectionError
from ...dissection.exemplars import Exemplar, Unit
from ...plugins import PluginError, resolve
from ...progress import step_progress
from ..acoustics.measuring import Acoustics, measure_acoustics
from ..acoustics.sentences import describe
from ..providers.captioners.acoustic import Acoustic
from ..records.clip_audio import ClipOrFailure, columns_of, data_clips, dissection_clips
from ..records.tables import Row, Table, clip_rows, read_table, table_settings
from ..records.unit_selection import chosen_units, exemplar_span
from ..roles import Clip, Failure, Span
from ..text.repeated import clean_repeated
from .background import SAMPLE, Background, background_spans
from .contrast import contrast_clips, contrast_spans
from .evidence import chosen_places, usual_k

LONGEST = 2_000
"""Characters of a caption that are kept: a model that floods must not drown the prompts. `raw` has all of it."""

SCHEMA = arrow.schema(
    [
        ("clip", arrow.int64()),
        ("start", arrow.float64()),
        ("end", arrow.float64()),
        ("caption", arrow.string()),
        ("raw", arrow.string()),
        ("failure", arrow.string()),
        ("background", arrow.bool_()),
    ]
)
KEY = ("clip", "start", "end")
_WRITE_SECONDS = 1.0  # rows wait so long at most: a table is synced to disk at each writing


def caption(
    found: Dissection,
    captioner: Any = None,
    *,
    data: Any = None,
    sites: str | Iterable[str] | None = None,
    units: Iterable[int] | None = None,
    k: int | None = None,
    excerpt: float | None = None,
    spread: bool = False,
    contrast: bool = False,
    every_clip: bool = False,
    background: int = SAMPLE,
    batch_size: int = 8,
    device: str | torch.device | None = None,
    progress: bool = True,
) -> list[Row]:
    """Caption the clips that units need, those only that have no caption yet, and return all rows of the table.

    A fixed random sample of all clips is captioned as well: what the words of a unit's captions are held against must
    not depend on which units were asked for. It is left out where the dataset's own captions are used, which are there
    of all clips.

    captioner   a captioner, or the name of one: "column:caption" (the default where the dataset has captions),
                "acoustic" (the default elsewhere), "transformers:REPO", …
    data        what was dissected; needed where the clips lie in no file
    sites, units, k   whose highest and lowest k clips are captioned; k None: all that are stored (at most 16) where the
                captions are the dataset's own, else 5, as in the paper (see `evidence.usual_k`)
    excerpt     seconds around the moment at which the unit fires; None: the whole clip
    spread      take the k from all stored exemplars, evenly, not the most extreme (see `evidence.chosen_places`)
    contrast    caption as well the clips that units are contrasted with, for summarizers that want them
    every_clip  caption every clip of the dissection, whole, as well
    background  clips of that sample: all of them where there are no more, or `every_clip` is given
    batch_size  clips that the captioner is handed at a time

    What cannot be captioned is recorded with the reason, and tried again by the next call. Rows are: clip, start, end
    (seconds; None: the whole clip), caption (without loops, at most `LONGEST` characters; None if it failed), raw (what
    the captioner answered), failure, background (whether it is one of the sample).

    Raises PluginError for a captioner that does not exist or a column that the data lacks; DissectionError for sites or
    units that do not exist and for audio that is in no file when `data` is not given.
    """
    for name, value in (("k", 1 if k is None else k), ("batch_size", batch_size), ("background", background)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, it is {value}")
    if excerpt is not None and not excerpt > 0:
        raise ValueError(f"excerpt must be a number of seconds above 0, it is {excerpt}")
    chosen = default_captioner(found) if captioner is None else captioner
    plugin, name = resolve("captioner", chosen, device=device, batch_size=batch_size)
    k = usual_k(found, name, spread=spread) if k is None else k
    spans = needed_spans(found, sites, units, k, excerpt, contrast, spread)
    every = map(Span, found.clips if every_clip else ())
    sample = _sample(found, name, len(found.clips) if every_clip else background, excerpt)
    spans = _ordered({*spans, *sample, *every})
    with Table(found, "captions", SCHEMA, KEY, _settings(plugin, name)) as table:
        table.add({**row, "background": not row["background"]} for row in table.rows() if _is_stale(row, sample))
        missing = [span for span in spans if _lacks(table, span)]

        def add(rows: Iterable[Row]) -> None:
            table.add({**row, "background": _span(row) in sample} for row in rows)

        if isinstance(plugin, Acoustic):
            measured = measure_acoustics(found, data=data, spans=missing, progress=progress)
            add(_row(span, _described(measured[span])) for span in missing)
        elif missing:
            column = getattr(plugin, "column", None)
            clips = dissection_clips(found, missing, sampling_rate=plugin.sampling_rate, data=data, column=column)
            _write(clips, plugin, batch_size, add, len(missing), progress)
    return read_table(found, "captions")


def caption_data(
    data: Any,
    captioner: Any = "column:caption",
    *,
    out: str | Path,
    split: str | None = None,
    audio_column: str = "audio",
    label_column: str | None = None,
    caption_column: str | None = None,
    limit: int | None = None,
    source_rate: int | None = None,
    batch_size: int = 8,
    device: str | torch.device | None = None,
    progress: bool = True,
) -> list[Row]:
    """Caption every clip of data that has not been dissected, whole, in a Parquet file `out`, and return its rows.

    Rows are those of `caption`; ids of clips are those that `dissect` will give them. The same call goes on where it
    was stopped. For data and its columns see `dissect`, for `source_rate` see `data_clips`.
    """
    plugin, name = resolve("captioner", captioner, device=device, batch_size=batch_size)
    options: dict[str, Any] = {
        "split": split,
        "audio_column": audio_column,
        "label_column": label_column,
        "caption_column": caption_column,
        "limit": limit,
    }
    source = open_source(data, **options)
    settings = _settings(plugin, name) | {"data": source.fingerprint, **options}
    column = getattr(plugin, "column", None)
    rate = plugin.sampling_rate
    clips = data_clips(data, sampling_rate=rate, column=column, source_rate=source_rate, **options)
    path = Path(out).expanduser()
    path.parent.mkdir(parents=True, exist_ok=True)
    with Table(path.parent, path.stem, SCHEMA, KEY, settings) as table:
        lacking = (clip for clip in clips if _lacks(table, clip[0] if isinstance(clip, tuple) else clip.span))
        _write(lacking, plugin, batch_size, table.add, source.length, progress)
        return _in_order(table.rows())


def captions_of(found: Dissection) -> dict[Span, str]:
    """The captions that were made. Raises DissectionError if none have been asked for yet."""
    rows = read_table(found, "captions")
    return {_span(row): row["caption"] for row in rows if row["caption"] is not None}


def background_of(found: Dissection) -> Background:
    """The captions that chance is drawn from, whichever units were asked for: see `background`.

    All of the dissection's captions where it keeps them, else those that were made of the sample; empty where a table
    of captions has none of the sample. Raises DissectionError if there are no captions yet.
    """
    if (column := _column(str(table_settings(found, "captions").get("captioner", "")))) is not None:
        pairs = [(row[column], clip) for clip, row in sorted(found.clips.items()) if row[column]]
    else:
        rows = [row for row in read_table(found, "captions") if row["background"] and row["caption"] is not None]
        pairs = [(row["caption"], row["clip"]) for row in rows]
    return Background(tuple(caption for caption, _ in pairs), tuple(clip for _, clip in pairs))


def captions_of_unit(found: Dissection, unit: Unit) -> dict[Exemplar, str]:
    """The captions that a unit's exemplars were summarized by: of their excerpts or of whole clips; others are absent.

    Before there are summaries: of whole clips.
    """
    exemplars = unit.top + unit.bottom
    rows = clip_rows(found, "captions", {exemplar.clip for exemplar in exemplars})
    made = {_span(row): row["caption"] for row in rows if row["caption"] is not None}
    excerpt = table_settings(found, "summaries").get("excerpt")
    spans = {one: exemplar_span(one, found.clips[one.clip]["seconds"], excerpt) for one in exemplars}
    return {one: made[span] for one, span in spans.items() if span in made}


def default_captioner(found: Dissection) -> str:
    """The dataset's own captions where it has any, else the acoustic describer."""
    return "column:caption" if "caption" in columns_of(found) else "acoustic"


def needed_spans(
    found: Dissection,
    sites: str | Iterable[str] | None = None,
    units: Iterable[int] | None = None,
    k: int = 5,
    excerpt: float | None = None,
    contrast: bool = False,
    spread: bool = False,
) -> list[Span]:
    """What stands for those of units' highest and lowest k clips that are evidence, each once, by clip and start.

    contrast  and for the clips that units are contrasted with (see `contrast`)
    """
    widths = found.widths()
    chosen: dict[str, list[int]] = {}
    for site, unit in chosen_units(found, sites, units):
        chosen.setdefault(site, []).append(unit)
    spans: set[Span] = set()
    for site, indices in chosen.items():
        pick = slice(None) if len(indices) == widths[site] else torch.tensor(indices)
        for side in ("top", "bottom"):
            evidence, places = chosen_places(found, site, side, k, spread=spread)
            telling = places[:, pick]
            clips = evidence.ranked.clips[:, pick][telling].numpy()
            if excerpt is None:
                spans.update(map(Span, np.unique(clips).tolist()))
                continue
            pairs = np.unique(np.stack([clips, evidence.ranked.frames[:, pick][telling].numpy()]), axis=1)
            spans.update(_excerpts(found, site, pairs, excerpt))
        if contrast:
            spans.update(contrast_spans(found, site, contrast_clips(found, site, indices, k), excerpt).values())
    return _ordered(spans)


def _excerpts(found: Dissection, site: str, pairs: np.ndarray, excerpt: float) -> Iterator[Span]:
    """The excerpts of (clip, frame) pairs: `exemplar_span` of the exemplars, without making them one by one."""
    frames_lie = found.geometry(site)
    frames, place = np.unique(pairs[1], return_inverse=True)
    times = frames_lie.times(frames).tolist()
    for clip, at in zip(pairs[0].tolist(), place.tolist(), strict=True):
        length, frame, (start, end) = found.clips[clip]["seconds"], int(frames[at]), times[at]
        if frame < 0 or (start != start and frame < frames_lie.special_tokens):  # no one frame stands for the value
            moment = (0.0, length)
        else:
            moment = (None, None) if start != start else (min(start, length), min(end, length))
        yield exemplar_span(Exemplar(clip, None, None, None, 0.0, frame, *moment), length, excerpt)


def _ordered(spans: Collection[Span]) -> list[Span]:
    return sorted(spans, key=lambda span: (span.clip, span.start is not None, span.start or 0.0, span.end or 0.0))


def _in_order(rows: Iterable[Row]) -> list[Row]:
    by_span = {_span(row): row for row in rows}
    return [by_span[span] for span in _ordered(by_span)]


def _settings(plugin: Any, name: str) -> dict[str, Any]:
    """What a caption depends on: the captioner, and the settings that it tells of."""
    return {"captioner": name, **dict(getattr(plugin, "settings", {}))}


def _column(captioner: str) -> str | None:
    """The column that a captioner reads, if it is one that dissections keep of all clips."""
    column = captioner.removeprefix("column:")
    return column if captioner != column and column in ("caption", "label") else None


def _sample(found: Dissection, captioner: str, size: int, excerpt: float | None) -> frozenset[Span]:
    """What is captioned to be the background; nothing where the dissection has the captions of all clips."""
    return frozenset(() if _column(captioner) else background_spans(found, size, excerpt))


def _is_stale(row: Row, sample: Set[Span]) -> bool:
    return bool(row["background"]) != (_span(row) in sample)


def _span(row: Mapping[str, Any]) -> Span:
    return Span(row["clip"], row["start"], row["end"])


def _lacks(table: Table, span: Span) -> bool:
    row = table.get(tuple(span))
    return row is None or row["caption"] is None


def _described(measured: Acoustics | Failure) -> str | Failure:
    return measured if isinstance(measured, Failure) else describe(measured)


def _row(span: Span, answer: Any) -> Row:
    """The row of an answer: text that says nothing, and anything but text, is a failure."""
    row: Row = {**span._asdict(), "caption": None, "raw": None, "failure": None, "background": False}
    if isinstance(answer, Failure):
        return {**row, "failure": answer.reason}
    if not isinstance(answer, str):
        return {**row, "failure": f"the captioner answered with {type(answer).__name__}, not text"}
    cleaned = clean_repeated(answer)
    if not cleaned:
        return {**row, "raw": answer, "failure": "the caption is empty"}
    return {**row, "caption": cleaned[:LONGEST].rstrip(), "raw": answer}


def _write(
    clips: Iterator[ClipOrFailure],
    captioner: Any,
    batch_size: int,
    add: Callable[[Iterable[Row]], None],
    total: int | None,
    show: bool,
) -> None:
    """Caption clips batch by batch; whatever stops it, every answer that came is written."""
    pending: list[Row] = []
    batch: list[Clip] = []
    written = time.monotonic()
    with step_progress("captions", total, show) as advance:
        try:
            for clip in chain(clips, [None]):
                if isinstance(clip, Clip):
                    batch.append(clip)
                elif clip is not None:
                    pending.append(_row(*clip))
                    advance(1)
                if len(batch) == batch_size or (clip is None and batch):
                    _answer(captioner, batch, pending)
                    advance(len(batch))
                    batch = []
                if time.monotonic() - written > _WRITE_SECONDS:
                    add(pending)
                    pending, written = [], time.monotonic()
        finally:
            add(pending)


def _answer(captioner: Any, batch: Sequence[Clip], rows: list[Row]) -> None:
    """Append one row a clip. Answers that are not as many as the clips belong to nobody knows which of them."""
    answers: list[Any] = []
    reason = None
    try:
        given = captioner.caption(batch)
        if not isinstance(given, Iterable) or isinstance(given, str | bytes | Mapping | Set):
            reason = f"the captioner answered {len(batch)} clips with {type(given).__name__}, not one caption a clip"
        else:
            for answer in given:
                answers.append(answer)
                if len(answers) > len(batch):
                    break
            if len(answers) != len(batch):
                count = "more" if len(answers) > len(batch) else str(len(answers))
                reason = f"the captioner gave {count} captions for {len(batch)} clips"
    except (PluginError, DissectionError):
        raise
    except Exception as error:
        answers += [Failure(f"{type(error).__name__}: {error}")] * (len(batch) - len(answers))
    except BaseException:
        rows += [_row(clip.span, answer) for clip, answer in zip(batch, answers, strict=False)]
        raise
    if reason is not None:
        answers = [Failure(reason)] * len(batch)
    rows += [_row(clip.span, answer) for clip, answer in zip(batch, answers, strict=True)]
