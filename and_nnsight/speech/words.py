"""Words or phones with times that stand in a column of the data: a list of {word | text | label, start, end}."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from ..data.text import plain, text
from .annotations import Annotation
from .errors import AnnotationError
from .tiers import SPEAKER

_LABELS = ("word", "text", "label", "phone", "phoneme")
_STARTS, _ENDS = ("start", "start_time", "begin"), ("end", "end_time", "stop")
_SHAPE = "a list of {word, start, end} with seconds (text, label or phone for word; speaker beside them)"


def words_of(value: Any, tier: str, clip: str) -> list[Annotation] | None:
    """The annotations that a column's value holds; None for a clip that has none, which is not annotated.

    tier  what they are annotations of: the column's name
    clip  what the clip is called in messages

    A text is read as JSON, since spreadsheets have no lists; a mapping of lists, which some versions of `datasets`
    give, as the list of mappings that it stands for. Raises AnnotationError, naming the clip, for anything else.
    """
    value = plain(value)
    if isinstance(value, str):
        value = _parsed(value, clip)
    if value is None:
        return None
    if isinstance(value, Mapping):
        value = _rows(value)
    if not isinstance(value, list | tuple):
        raise AnnotationError(f"{clip}: the column {tier!r} holds {type(value).__name__}, and is to hold {_SHAPE}")
    return [each for entry in value for each in _annotations(entry, tier, clip)]


def _parsed(value: str, clip: str) -> Any:
    if not value.strip():
        return None
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as error:
        raise AnnotationError(f"{clip}: its words are text that is no JSON, and are to be {_SHAPE}") from error


def _rows(columns: Mapping[str, Any]) -> list[dict[str, Any]]:
    names = list(columns)
    values = [plain(columns[name]) for name in names]
    if not all(isinstance(each, list) for each in values):
        return [dict(columns)]
    return [dict(zip(names, row, strict=False)) for row in zip(*values, strict=False)]


def _annotations(entry: Any, tier: str, clip: str) -> Iterator[Annotation]:
    entry = plain(entry)
    if not isinstance(entry, Mapping):
        raise AnnotationError(f"{clip}: {entry!r:.60} stands among its words, which are to be {_SHAPE}")
    label = text(_first(entry, _LABELS))
    start, end = _times(entry)
    if label is None or not (math.isfinite(start) and math.isfinite(end)):
        raise AnnotationError(f"{clip}: {dict(entry)!r:.80} has no label or no times, and is to be one of {_SHAPE}")
    if end < start or start < 0:
        raise AnnotationError(f"{clip}: {label.strip()!r} begins at {start:g} s and ends at {end:g} s")
    if end == start or not label.strip():
        return
    yield Annotation(tier, label.strip(), start, end)
    speaker = text(entry.get("speaker"))
    if speaker:
        yield Annotation(SPEAKER, speaker.strip(), start, end)


def _first(entry: Mapping[str, Any], keys: tuple[str, ...]) -> Any:
    return next((entry[key] for key in keys if entry.get(key) is not None), None)


def _times(entry: Mapping[str, Any]) -> tuple[float, float]:
    """Start and end; NaN for one that is lacking or no number. `timestamp` holds both, as transformers writes them."""
    pair = plain(entry.get("timestamp"))
    if isinstance(pair, list | tuple) and len(pair) == 2:
        return _number(pair[0]), _number(pair[1])
    return _number(_first(entry, _STARTS)), _number(_first(entry, _ENDS))


def _number(value: Any) -> float:
    value = plain(value)
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return math.nan
    try:
        return float(value)
    except (ValueError, OverflowError):
        return math.nan
