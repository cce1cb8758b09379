"""Captions of the clips that units need, or of all: `explanations/captions.parquet`, one row a clip or excerpt."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ...data.options import DataOptions
from ...dissection.dissection import Dissection
from ...dissection.rows import Rows
from ...kernels.surroundings import plain_torch
from ...plugins import resolve
from ...run.options import RunOptions
from ...storage import make_folder
from ..acoustics.sentences import describe
from ..acoustics.table import measure_acoustics
from ..providers.captioners.acoustic import Acoustic
from ..records.acoustics import Acoustics
from ..records.clip_audio import columns_of, data_clips, dissection_clips
from ..records.description_rows import CaptionRow
from ..records.reading import read_table
from ..records.tables import Table
from ..roles import Failure, Span
from .background import SAMPLE, background_spans, own_column
from .captioning import caption_row, write_captions
from .evidence import usual_k
from .options import CaptionOptions, ExemplarOptions
from .spans import needed_spans, ordered_spans


@plain_torch()
def caption(
    dissection: Dissection,
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
) -> Rows[CaptionRow]:
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
    spread      take the k from all stored exemplars, evenly, not the most extreme (see `evidence.chosen_exemplars`)
    contrast    caption as well the clips that units are contrasted with, for summarizers that want them
    every_clip  caption every clip of the dissection, whole, as well
    background  clips of that sample: all of them where there are no more, or `every_clip` is given
    batch_size  clips that the captioner is handed at a time

    What cannot be captioned is recorded with the reason, and tried again by the next call. Rows are: clip, start, end
    (seconds; None: the whole clip), caption (without loops, cut where it floods: see `captioning.LONGEST`; None if it
    failed), raw (what the captioner answered), failure, background (whether it is one of the sample).

    Raises PluginError for a captioner that does not exist or a column that the data lacks; DissectionError for sites or
    units that do not exist and for audio that is in no file when `data` is not given.
    """
    exemplars = ExemplarOptions.of(sites, units, k, excerpt, spread)
    options = CaptionOptions(exemplars, contrast, every_clip, background)
    run = RunOptions(device=device, batch_size=batch_size, progress=progress)
    return caption_clips(dissection, captioner, options, run, data)


def caption_clips(
    dissection: Dissection, captioner: Any, options: CaptionOptions, run: RunOptions, data: Any = None
) -> Rows[CaptionRow]:
    """What `caption` does."""
    _check(options, run.batch_size)
    plugin, name = resolve(
        "captioner",
        default_captioner(dissection) if captioner is None else captioner,
        device=run.device,
        batch_size=run.batch_size,
    )
    sample = _sample(dissection, name, options)
    spans = _wanted_spans(dissection, name, options, sample)
    with Table(dissection, CaptionRow, _settings(plugin, name)) as table:
        table.add(_marked(row, sample) for row in table.rows() if _is_stale(row, sample))
        missing = [span for span in spans if _lacks(table, span)]

        def add(rows: Iterable[CaptionRow]) -> None:
            table.add(_marked(row, sample) for row in rows)

        if isinstance(plugin, Acoustic):
            add(_measured_captions(dissection, missing, data, run.progress))
        elif missing:
            column = getattr(plugin, "column", None)
            clips = dissection_clips(dissection, missing, sampling_rate=plugin.sampling_rate, data=data, column=column)
            write_captions(clips, plugin, add, run, len(missing))
    return read_table(dissection, CaptionRow)


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
) -> Rows[CaptionRow]:
    """Caption every clip of data that has not been dissected, whole, in a Parquet file `out`, and return its rows.

    Rows are those of `caption`; ids of clips are those that `dissect` will give them. The same call goes on where it
    was stopped. For data and its columns see `dissect`, for `source_rate` see `data_clips`.
    """
    if Path(out).suffix != ".parquet":
        raise ValueError(f"captions are written as Parquet: let the name {str(out)!r} end in .parquet")
    run = RunOptions(device=device, batch_size=batch_size, progress=progress)
    plugin, name = resolve("captioner", captioner, device=device, batch_size=batch_size)
    options = DataOptions(split, audio_column, label_column, caption_column, limit)
    source = options.open(data)
    settings = _settings(plugin, name) | {"data": source.fingerprint, **vars(options)}
    column, rate = getattr(plugin, "column", None), plugin.sampling_rate
    clips = data_clips(data, options, sampling_rate=rate, column=column, source_rate=source_rate)
    path = Path(out).expanduser()
    make_folder(path.parent)
    with Table(path.parent / f"{path.stem}.parquet", CaptionRow, settings) as table:
        lacking = (clip for clip in clips if _lacks(table, clip[0] if isinstance(clip, tuple) else clip.span))
        write_captions(lacking, plugin, table.add, run, source.length)
        by_span = {row.span: row for row in table.rows()}
        return Rows((by_span[span] for span in ordered_spans(by_span)), CaptionRow)


def default_captioner(dissection: Dissection) -> str:
    """The dataset's own captions where it has any, else the acoustic describer."""
    return "column:caption" if "caption" in columns_of(dissection) else "acoustic"


def _check(options: CaptionOptions, batch_size: int) -> None:
    """Raise ValueError for a number that makes no sense."""
    k, excerpt = options.exemplars.k, options.exemplars.excerpt
    for name, value in (("k", 1 if k is None else k), ("batch_size", batch_size), ("background", options.background)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, it is {value}")
    if excerpt is not None and not excerpt > 0:
        raise ValueError(f"excerpt must be a number of seconds above 0, it is {excerpt}")


def _wanted_spans(
    dissection: Dissection, captioner: str, options: CaptionOptions, sample: frozenset[Span]
) -> list[Span]:
    """All that is to be captioned, by clip and start."""
    exemplars = options.exemplars
    k = usual_k(dissection, captioner, spread=exemplars.spread) if exemplars.k is None else exemplars.k
    needed = needed_spans(dissection, replace(exemplars, k=k), contrast=options.contrast)
    every = map(Span, dissection.clips if options.every_clip else ())
    return ordered_spans({*needed, *sample, *every})


def _sample(dissection: Dissection, captioner: str, options: CaptionOptions) -> frozenset[Span]:
    """What is captioned to be the background; nothing where the dissection has the captions of all clips."""
    if own_column(captioner) is not None:
        return frozenset()
    size = len(dissection.clips) if options.every_clip else options.background
    return frozenset(background_spans(dissection, size, options.exemplars.excerpt))


def _settings(plugin: Any, name: str) -> dict[str, Any]:
    """What a caption depends on: the captioner, and the settings that it tells of."""
    return {"captioner": name, **dict(getattr(plugin, "settings", {}))}


def _is_stale(row: CaptionRow, sample: frozenset[Span]) -> bool:
    return bool(row.background) != (row.span in sample)


def _marked(row: CaptionRow, sample: frozenset[Span]) -> CaptionRow:
    return replace(row, background=row.span in sample)


def _lacks(table: Table[CaptionRow], span: Span) -> bool:
    row = table.get(tuple(span))
    return row is None or row.caption is None


def _measured_captions(dissection: Dissection, spans: Sequence[Span], data: Any, progress: bool) -> list[CaptionRow]:
    """The acoustic describer's captions, by measurements that are kept in a table of their own."""
    measured = measure_acoustics(dissection, data=data, spans=spans, progress=progress)
    return [caption_row(span, _described(measured[span])) for span in spans]


def _described(measured: Acoustics | Failure) -> str | Failure:
    return measured if isinstance(measured, Failure) else describe(measured)
