"""One clip out of a row: a plain audio value, a dict with one (or that is one), a tuple, an object with `.waveform`."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import torch

from ..audio.waveforms import plain_samples
from .collation import NoClip, refuse_batch, refuse_nested, refuse_table
from .items import Columns, Item, Unusable
from .text import text
from .values import (
    COMMON_RATES,
    RATES,
    audio_path,
    is_encoded,
    is_number,
    is_rate,
    is_signal,
    number,
    path_text,
    split_rate,
    stated_rate,
    waveform_and_rate,
)

_LONGEST_TUPLE = 16  # of a clip and what stands beside it
_MOST_KEYS = 20  # in a message
_AUDIO = ("array", "raw", "bytes", "path")  # keys by which a dict is audio itself


def make_item(position: int, value: Any, columns: Columns) -> Item:
    """One clip of Python data.

    What is wrong with the first clip is wrong with the data, and raises ValueError with what to give; a later clip
    becomes one that is set aside for it.
    """
    try:
        refuse_table(position, value)
        return _item(position, _row(value), columns)
    except NoClip as error:
        if position == 0:
            raise ValueError(str(error)) from None
        return Item(position, Unusable(str(error)))


def make_row_item(
    position: int, row: Mapping[str, Any], audio: Any, label: str | None, caption: str | None, rate: Any
) -> Item:
    """One clip of a dataset's row whose audio is this: with the row's path, and this rate, where the audio has none.

    Raises ValueError, or makes a clip that is set aside, as `make_item` does.
    """
    try:
        refuse_batch(position, audio, [value for value in row.values() if value is not audio])
    except NoClip as error:
        if position == 0:
            raise ValueError(str(error)) from None
        return Item(position, Unusable(str(error)), None, label, caption)
    path = audio_path(audio) or path_text(row.get("path"))
    audio, own = split_rate(audio)
    return _with_rate(Item(position, audio, path, label, caption), own if own is not None else rate)


class _Parts(NamedTuple):
    """What a row holds, as it stands there."""

    audio: Any
    rate: Any = None
    label: Any = None
    caption: Any = None
    path: str | None = None
    words: Any = None


def _row(value: Any) -> Any:
    """A row of a table as a dict: pandas' rows, named tuples. A column of it that is a clip becomes an array."""
    if hasattr(value, "_asdict") and not hasattr(value, "waveform"):
        return value._asdict()
    if isinstance(value, tuple) and len(value) == 2 and _is_table_row(value[1]):  # of `iterrows`
        return value[1].to_dict()
    row: Any = value
    return row.to_dict() if _is_table_row(row) else _samples(value)


def _is_table_row(value: Any) -> bool:
    """Whether a value is a row of pandas, whose values have names; those of a column have numbers."""
    if not hasattr(value, "to_dict") or not hasattr(value, "index") or isinstance(value, Mapping):
        return False
    names: Any = value.index
    return any(isinstance(name, str | tuple) for name in names[:1])


def _samples(value: Any) -> Any:
    """The value with samples that other libraries hold as arrays, if it is such or a short tuple of such."""
    if isinstance(value, list | tuple) and len(value) <= _LONGEST_TUPLE:
        parts = [plain_samples(part) for part in value]
        return tuple(parts) if isinstance(value, tuple) else parts
    return plain_samples(value)


def _item(position: int, value: Any, columns: Columns) -> Item:
    if isinstance(value, Mapping):
        parts = _of_mapping(position, value, columns)
    elif hasattr(value, "waveform"):
        parts = _of_object(value, columns)
    else:
        audio, label = _of_tuple(position, value)
        parts = _Parts(audio, label=label)
    path = parts.path or audio_path(parts.audio)
    refuse_nested(position, parts.audio)
    audio, own = split_rate(parts.audio)
    if position == 0:
        _warn_of_channels(audio)
    item = Item(position, audio, path, text(parts.label), text(parts.caption), words=parts.words)
    return _with_rate(item, own if own is not None else parts.rate)


def _of_mapping(position: int, row: Mapping[Any, Any], columns: Columns) -> _Parts:
    missing = [column for column in columns.named if column not in row]
    if position == 0 and missing:  # later ones may lack it
        raise NoClip(f"no key {missing[0]!r} in the first clip; its keys are {_keys(row)}")
    audio = _audio_of(position, row, columns.audio)
    label, caption = row.get(columns.label_key), row.get(columns.caption_key)
    refuse_batch(position, audio, [label, caption, *(row.get(name) for name in ("path", *RATES))])
    named = path_text(row.get("__key__"))  # WebDataset's name of a row
    others = (columns.label_key, columns.caption_key)
    path = path_text(row.get("path")) or audio_path(audio) or named
    words = None if columns.words is None else row.get(columns.words)
    return _Parts(audio, stated_rate(row, others), label, caption, path, words)


def _of_object(value: Any, columns: Columns) -> _Parts:
    rate = stated_rate({name: getattr(value, name, None) for name in RATES})
    label, caption = getattr(value, columns.label_key, None), getattr(value, columns.caption_key, None)
    words = None if columns.words is None else getattr(value, columns.words, None)
    return _Parts(value.waveform, rate, label, caption, path_text(getattr(value, "path", None)), words)


def _of_tuple(position: int, value: Any) -> tuple[Any, Any]:
    """Audio and label of `(waveform, rate)`, `(waveform, rate, label, …)`, `(audio, label)`; else the value itself."""
    if not isinstance(value, list | tuple) or len(value) < 2:
        return value, None
    first, second, *rest = value
    pair = waveform_and_rate(first, second)
    if pair is not None:
        refuse_batch(position, first, [second, *rest[:1]])
        if not rest:
            _refuse_doubtful(position, pair[1])
        return (first, second), rest[0] if rest else None
    if isinstance(value, tuple) and _is_labelled(value):
        return first, second
    refuse_batch(position, first, [second])
    if is_signal(first) and is_number(second):
        raise NoClip(_doubt(position, number(second)))
    refuse_batch(position, value, [])
    return value, None


def _refuse_doubtful(position: int, rate: Any) -> None:
    """Raise NoClip for what stands alone beside a waveform and is no rate that sounds have: it may be a label."""
    if rate is not None and rate not in COMMON_RATES:
        raise NoClip(_doubt(position, rate))


def _doubt(position: int, beside: Any) -> str:
    """What to give instead of a waveform with a number beside it that is no rate, or may be none."""
    what, pair = "is no sampling rate", "(waveform, rate), "
    if is_rate(beside):
        what, pair = "may be a label or a sampling rate", ""
    return (
        f"clip {position} is a waveform with {beside!r} beside it, which {what}: give {pair}(waveform, rate, label) "
        "or a dict with 'audio', 'sampling_rate' and 'label'"
    )


def number_beside(value: Any) -> Any:
    """The number beside the waveform in a tuple, where it would be read as its rate; None where there is none."""
    value = _row(value)
    if not isinstance(value, list | tuple) or len(value) < 2:
        return None
    for signal, beside in ((value[0], value[1]), (value[1], value[0])):
        if is_signal(signal) and is_number(beside):
            return number(beside)
    return None


def _is_labelled(value: tuple[Any, ...]) -> bool:
    """Whether a tuple is audio and a label in words, or an encoded file, which says its rate, and a label's number."""
    first, second, *_ = value
    if len(value) == 2 and isinstance(second, str | bytes):
        return is_signal(first) or is_encoded(first)
    return is_encoded(first) and is_number(second)


def _audio_of(position: int, row: Mapping[Any, Any], column: str) -> Any:
    if column in row:
        return row[column]
    if column == "audio" and any(row.get(key) is not None for key in _AUDIO):
        return row
    if column == "audio" and row.get("waveform") is not None:
        return row["waveform"]
    raise NoClip(
        f"clip {position} has no {column!r}; its keys are {_keys(row)}: name the one that "
        "holds the audio with audio_column= (--audio-column)"
    )


def _keys(row: Mapping[Any, Any]) -> str:
    names = [text(name) or "" for name in islice(row, _MOST_KEYS)]
    return ", ".join(names) + (f" and {len(row) - _MOST_KEYS:,} more" if len(row) > _MOST_KEYS else "") or "none"


def _with_rate(item: Item, rate: Any) -> Item:
    """The clip with its rate as a whole number; without audio if that is no rate."""
    if rate is None:
        return item
    try:
        whole = int(rate)
        if whole != float(rate):
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        return replace(item, audio=Unusable(f"sampling_rate must be a whole number of samples a second, not {rate!r}"))
    return replace(item, sampling_rate=whole)


def _warn_of_channels(audio: Any) -> None:
    if isinstance(audio, np.ndarray | torch.Tensor) and audio.ndim == 2 and min(audio.shape) > 2:
        message = f"clip 0 has {min(audio.shape)} channels, which are mixed into one: if they are clips, give them"
        warnings.warn(f"{message} singly", stacklevel=3)
