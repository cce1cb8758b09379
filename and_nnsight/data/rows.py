"""One clip out of a row: a plain audio value, a dict with one (or that is one), a tuple, an object with `.waveform`."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch

from .collation import NoClip, refuse_batch, refuse_nested
from .items import Columns, Item, Unusable
from .text import text
from .values import (
    RATES,
    audio_path,
    is_encoded,
    is_number,
    is_signal,
    number,
    path_text,
    split_rate,
    stated_rate,
    waveform_and_rate,
)

_AUDIO = ("array", "raw", "bytes", "path")  # keys by which a dict is audio itself


def make_item(position: int, value: Any, columns: Columns) -> Item:
    """One clip of Python data.

    What is wrong with the first clip is wrong with the data, and raises ValueError with what to give; a later clip
    becomes one that is set aside for it.
    """
    try:
        return _item(position, _row(value), columns)
    except NoClip as error:
        if position == 0:
            raise ValueError(str(error)) from None
        return Item(position, Unusable(str(error)))


def make_row_item(position: int, row: Mapping[str, Any], audio: Any, label: str | None, caption: str | None) -> Item:
    """One clip of a dataset's row whose audio is this: with the row's rate and path where the audio has none.

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
    return _with_rate(Item(position, audio, path, label, caption), own if own is not None else stated_rate(row))


class _Parts(NamedTuple):
    """What a row holds, as it stands there."""

    audio: Any
    rate: Any = None
    label: Any = None
    caption: Any = None
    path: str | None = None


def _row(value: Any) -> Any:
    """A row of a table as a dict: pandas' rows, named tuples."""
    if hasattr(value, "_asdict") and not hasattr(value, "waveform"):
        return value._asdict()
    if hasattr(value, "to_dict") and hasattr(value, "index") and not isinstance(value, Mapping):
        return value.to_dict()
    return value


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
    item = Item(position, audio, path, text(parts.label), text(parts.caption))
    return _with_rate(item, own if own is not None else parts.rate)


def _of_mapping(position: int, row: Mapping[Any, Any], columns: Columns) -> _Parts:
    missing = [column for column in columns.named if column not in row]
    if position == 0 and missing:  # later ones may lack it
        raise NoClip(f"no key {missing[0]!r} in the first clip; its keys are {', '.join(map(str, row))}")
    audio = _audio_of(position, row, columns.audio)
    label, caption = row.get(columns.label_key), row.get(columns.caption_key)
    refuse_batch(position, audio, [label, caption, *(row.get(name) for name in ("path", *RATES))])
    named = path_text(row.get("__key__"))  # WebDataset's name of a row
    return _Parts(audio, stated_rate(row), label, caption, path_text(row.get("path")) or audio_path(audio) or named)


def _of_object(value: Any, columns: Columns) -> _Parts:
    rate = stated_rate({name: getattr(value, name, None) for name in RATES})
    label, caption = getattr(value, columns.label_key, None), getattr(value, columns.caption_key, None)
    return _Parts(value.waveform, rate, label, caption, path_text(getattr(value, "path", None)))


def _of_tuple(position: int, value: Any) -> tuple[Any, Any]:
    """Audio and label of `(waveform, rate)`, `(waveform, rate, label, …)`, `(audio, label)`; else the value itself."""
    if not isinstance(value, list | tuple) or len(value) < 2:
        return value, None
    first, second, *rest = value
    if waveform_and_rate(first, second) is not None:
        refuse_batch(position, first, [second, *rest[:1]])
        return (first, second), rest[0] if rest else None
    if isinstance(value, tuple) and _is_labelled(value):
        return first, second
    refuse_batch(position, first, [second])
    if is_signal(first) and is_number(second):
        raise NoClip(
            f"clip {position} is a waveform with {number(second)!r} beside it, which is no sampling rate: give "
            "(waveform, rate), (waveform, rate, label) or a dict with 'audio', 'sampling_rate' and 'label'"
        )
    refuse_batch(position, value, [])
    return value, None


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
        f"clip {position} has no {column!r}; its keys are {', '.join(map(str, row)) or 'none'}: name the one that "
        "holds the audio with audio_column= (--audio-column)"
    )


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
