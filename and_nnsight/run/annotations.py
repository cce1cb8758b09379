"""The annotations that a run compares units with, frame by frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..data import UNKNOWN, Source
from ..data.iterables import IterableSource
from ..data.options import DataOptions
from ..sites.site import Site, SiteError
from ..speech.annotations import Annotations
from ..speech.columns import annotations_in_column
from ..speech.errors import AnnotationError
from ..speech.files import annotations_in_files
from ..speech.whisper import annotations_heard

_COLUMN, _WHISPER, _SAVED = "column:", "whisper:", ".safetensors"


def read_annotations(
    origin: str | Path,
    data: Any,
    *,
    split: str | None = None,
    audio_column: str = "audio",
    limit: int | None = None,
    device: Any = None,
    batch_size: int = 8,
    progress: bool = True,
) -> Annotations:
    """Words, phones, speakers and pauses of clips, with times, for `dissect(..., annotations=)`.

    origin  a folder of TextGrid or CTM files (or one of them), matched with clips by name; "column:NAME", a column of
            the data that holds lists of {word, start, end}; "whisper:CHECKPOINT", the words that a Whisper hears; or a
            file that `Annotations.save` wrote
    data    what `dissect` takes; split, audio_column and limit are of it
    device, batch_size, progress  of a Whisper

    Raises AnnotationError, naming the file or the clip, for what cannot be read or is of no clip; ValueError for data
    that cannot be opened.
    """
    return _read(origin, data, DataOptions(split, audio_column, limit=limit), device, batch_size, progress)


def _read(
    origin: str | Path, data: Any, options: DataOptions, device: Any, batch_size: int, progress: bool
) -> Annotations:
    named = str(origin)
    if named.startswith(_COLUMN):
        column = named.removeprefix(_COLUMN)
        return annotations_in_column(column, options.open(data, words_column=column))
    if named.startswith(_WHISPER):
        checkpoint, source = named.removeprefix(_WHISPER), options.open(data)
        return annotations_heard(checkpoint, source, device=device, batch_size=batch_size, progress=progress)
    if named.endswith(_SAVED):
        return Annotations.load(origin)
    return annotations_in_files(Path(origin).expanduser(), options.open(data))


def open_annotations(
    annotations: Annotations | str | Path | None, data: Any, source: Source, options: DataOptions, progress: bool
) -> Annotations | None:
    """The annotations of the source's clips, as many concepts as are compared with; None for none.

    Raises AnnotationError for those of other data, and ValueError for data that can be read only once.
    """
    if annotations is None:
        return None
    if isinstance(source, IterableSource) and source.once:
        raise ValueError(
            f"annotations= needs data that can be read more than once, and a {source.name} cannot: give a list, a "
            "dataset, or an iterable that can be read again"
        )
    if not isinstance(annotations, Annotations):
        annotations = _read(
            annotations, data, replace(options, label_column=None, caption_column=None), None, 8, progress
        )
    made_for = annotations.settings.get("dataset", UNKNOWN)
    if UNKNOWN not in (made_for, source.fingerprint) and made_for != source.fingerprint:
        raise AnnotationError(
            f"the annotations were made for other data (fingerprint {made_for}) than {source.name} "
            f"({source.fingerprint}): make them for this data"
        )
    return annotations.keeping()


def refuse_without_seconds(sites: Sequence[Site]) -> None:
    """Raise SiteError, naming them, for sites whose frames have no seconds: no annotation has a place there."""
    without = [site.name for site in sites if not site.geometry.in_time]
    if without:
        raise SiteError(
            f"annotations need to know when a frame is, and frames have no seconds at {', '.join(without[:3])}"
            f"{', …' if len(without) > 3 else ''}: choose other sites"
        )


def annotations_line(annotations: Annotations) -> str:
    """What is compared with, and what was left out, in words."""
    left_out = f" (left out: {annotations.left_out})" if annotations.left_out else ""
    return f"comparing units with {len(annotations.names):,} concepts in {len(annotations.clips):,} clips{left_out}"
