"""One clip out of a row: a plain audio value, a dict with one (or that is one), a tuple, an object with `.waveform`."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from and_nnsight.stream._items import Item, Unusable
from and_nnsight.stream._text import is_missing, printable, text

RATES = ("sampling_rate", "sample_rate", "sr")
"""Keys beside a waveform that state its rate."""
_AUDIO = ("array", "raw", "bytes", "path")  # keys by which a dict is audio itself
_LOWEST_RATE = 1_000  # a number below is no rate: a label, most likely


def make_item(
    position: int, value: Any, audio_column: str, label_column: str | None, caption_column: str | None
) -> Item:
    """One clip of Python data.

    What is wrong with the first clip is wrong with the data, and raises ValueError with what to give; a later clip
    becomes one that is set aside for it.
    """
    try:
        return _item(position, _row(value), audio_column, label_column, caption_column)
    except _NoClip as error:
        if position == 0:
            raise ValueError(str(error)) from None
        return Item(position, Unusable(str(error)))


def make_row_item(position: int, row: Mapping[str, Any], audio: Any, label: str | None, caption: str | None) -> Item:
    """One clip of a dataset's row whose audio is this: with the row's rate and path where the audio has none.

    Raises ValueError, or makes a clip that is set aside, as `make_item` does.
    """
    try:
        _refuse_batch(position, audio, [value for value in row.values() if value is not audio])
    except _NoClip as error:
        if position == 0:
            raise ValueError(str(error)) from None
        return Item(position, Unusable(str(error)), None, label, caption)
    path = audio_path(audio) or _path(row.get("path"))
    audio, own = split_rate(audio)
    return _with_rate(Item(position, audio, path, label, caption), own if own is not None else stated_rate(row))


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


def audio_path(audio: Any) -> str | None:
    """The path that an audio value carries, if it does, as text that can be written."""
    return _path(audio.get("path") if isinstance(audio, Mapping) else audio)


def stated_rate(row: Mapping[str, Any]) -> Any:
    """The sampling rate that stands beside a waveform in its row."""
    return next((number(row[name]) for name in RATES if row.get(name) is not None), None)


def number(value: Any) -> Any:
    """A number out of a tensor or an array that holds one; anything else as it is."""
    while isinstance(value, np.ndarray | np.generic | torch.Tensor) and _size(value) == 1:
        value = value.reshape(-1)[0].item()
    return None if is_missing(value) else value


def split_rate(audio: Any) -> tuple[Any, Any]:
    """An audio value that `load` takes, and the rate that came with it where `load` would not see it."""
    decoded: Any = audio
    if isinstance(audio, Mapping):
        bare = next((audio[key] for key in ("array", "raw") if audio.get(key) is not None), None)
        seen = bare is None or isinstance(audio.get("sampling_rate"), int)
        return (audio, None) if seen else (bare, stated_rate(audio))
    if isinstance(audio, list | tuple) and len(audio) == 2 and (pair := _pair(*audio)) is not None:
        return pair
    if hasattr(decoded, "sample_rate") and isinstance(getattr(decoded, "data", None), torch.Tensor):
        return decoded.data, number(decoded.sample_rate)  # torchcodec's
    if hasattr(audio, "read") and not hasattr(audio, "read_bytes"):
        return read_whole(audio), None
    return audio, None


def read_whole(file: Any) -> Any:
    """The bytes of an open file, from its beginning where it can be rewound; Unusable where it gives none."""
    try:
        if getattr(file, "seekable", lambda: False)():
            file.seek(0)
        content = file.read()
    except (OSError, ValueError) as error:  # ValueError: it is closed
        return Unusable(f"an open file that cannot be read: {error}")
    return Unusable("a file that was opened as text: open it with 'rb'") if isinstance(content, str) else content


class _NoClip(Exception):
    """A row that is no clip, and what to give instead."""


def _row(value: Any) -> Any:
    """A row of a table as a dict: pandas' rows, named tuples."""
    if hasattr(value, "_asdict") and not hasattr(value, "waveform"):
        return value._asdict()
    if hasattr(value, "to_dict") and hasattr(value, "index") and not isinstance(value, Mapping):
        return value.to_dict()
    return value


def _item(position: int, value: Any, audio_column: str, label_column: str | None, caption_column: str | None) -> Item:
    label_key, caption_key = label_column or "label", caption_column or "caption"
    path = None
    if isinstance(value, Mapping):
        for column in (label_column, caption_column):
            if position == 0 and column is not None and column not in value:  # later ones may lack it
                raise _NoClip(f"no key {column!r} in the first clip; its keys are {', '.join(map(str, value))}")
        audio = _audio_of(position, value, audio_column)
        label, caption = value.get(label_key), value.get(caption_key)
        _refuse_batch(position, audio, [label, caption, *(value.get(name) for name in ("path", *RATES))])
        rate = stated_rate(value)
        path = (
            _path(value.get("path")) or audio_path(audio) or _path(value.get("__key__"))
        )  # WebDataset's name of a row
    elif hasattr(value, "waveform"):
        audio, rate = value.waveform, stated_rate({name: getattr(value, name, None) for name in RATES})
        label, caption = getattr(value, label_key, None), getattr(value, caption_key, None)
        path = _path(getattr(value, "path", None))
    else:
        audio, label = _of_tuple(position, value)
        rate = caption = None
    path = path or audio_path(audio)
    _refuse_nested(position, audio)
    audio, own = split_rate(audio)
    if position == 0 and isinstance(audio, np.ndarray | torch.Tensor) and audio.ndim == 2 and min(audio.shape) > 2:
        said = f"clip 0 has {min(audio.shape)} channels, which are mixed into one: if they are clips, give them singly"
        warnings.warn(said, stacklevel=2)
    return _with_rate(Item(position, audio, path, text(label), text(caption)), own if own is not None else rate)


def _audio_of(position: int, row: Mapping[Any, Any], column: str) -> Any:
    if column in row:
        return row[column]
    if column == "audio" and any(row.get(key) is not None for key in _AUDIO):
        return row
    if column == "audio" and row.get("waveform") is not None:
        return row["waveform"]
    raise _NoClip(
        f"clip {position} has no {column!r}; its keys are {', '.join(map(str, row)) or 'none'}: name the one that "
        "holds the audio with audio_column= (--audio-column)"
    )


def _of_tuple(position: int, value: Any) -> tuple[Any, Any]:
    """Audio and label of `(waveform, rate)`, `(waveform, rate, label, …)`, `(audio, label)`; else the value itself."""
    if not isinstance(value, list | tuple) or len(value) < 2:
        return value, None
    first, second, *rest = value
    if _pair(first, second) is not None:
        _refuse_batch(position, first, [second, *rest[:1]])
        return (first, second), rest[0] if rest else None
    if isinstance(value, tuple) and len(value) == 2 and isinstance(second, str | bytes) and _is_audio(first):
        return value
    if isinstance(value, tuple) and _is_encoded(first) and _is_number(second):  # its file says its rate
        return first, second
    _refuse_batch(position, first, [second])
    if _is_signal(first) and _is_number(second):
        raise _NoClip(
            f"clip {position} is a waveform with {number(second)!r} beside it, which is no sampling rate: give "
            "(waveform, rate), (waveform, rate, label) or a dict with 'audio', 'sampling_rate' and 'label'"
        )
    _refuse_batch(position, value, [])
    return value, None


def _pair(first: Any, second: Any) -> tuple[Any, Any] | None:
    """Waveform and rate of two values, in either order, if that is what they are."""
    for signal, rate in ((first, second), (second, first)):
        if _is_signal(signal) and (rate is None or (_is_number(rate) and number(rate) >= _LOWEST_RATE)):
            return signal, number(rate)
    return None


def _is_signal(value: Any) -> bool:
    """Whether a value is samples: an array with an axis, or a list of numbers (or of channels)."""
    if isinstance(value, np.ndarray | torch.Tensor):
        return value.ndim > 0 and _size(value) > 1
    return isinstance(value, list | tuple) and len(value) > 0 and isinstance(value[0], int | float | list | tuple)


def _is_encoded(value: Any) -> bool:
    return isinstance(value, str | bytes | bytearray | memoryview | os.PathLike)


def _is_audio(value: Any) -> bool:
    return _is_signal(value) or _is_encoded(value)


def _is_number(value: Any) -> bool:
    if isinstance(value, np.ndarray | torch.Tensor) and _size(value) != 1:
        return False
    found = number(value)
    return isinstance(found, int | float) and not isinstance(found, bool)


def _refuse_batch(position: int, audio: Any, beside: Sequence[Any]) -> None:
    """Raise _NoClip for a loader's batch: its clips would be heard as the channels of one."""
    if isinstance(audio, Mapping):
        beside = [*beside, *(audio.get(name) for name in (*RATES, "path"))]
        audio = audio.get("array")
    _refuse_nested(position, audio)
    clips = _clips(audio)
    if clips < 2:
        return
    several = isinstance(audio, list | tuple) and not isinstance(audio[0], int | float | list | tuple)
    columns = [value for value in beside if _length(value) == clips]
    if clips == 2 and not several and (position or len(columns) < sum(value is not None for value in beside)):
        columns = [value for value in columns if not isinstance(value[0], str)]  # two channels that have two labels
    if columns or (several and (isinstance(audio[0], Mapping) or _is_encoded(audio[0]))):
        raise _NoClip(
            f"clip {position} is a batch of {clips} clips: give them one by one, for example the dataset that the "
            "loader makes its batches of (dissect makes its own: batch_size=, num_workers=)"
        )


def _refuse_nested(position: int, audio: Any) -> None:
    if isinstance(audio, torch.Tensor) and audio.is_nested:
        raise _NoClip(f"clip {position} is a nested tensor: give its parts one by one (tensor.unbind())")


def _clips(audio: Any) -> int:
    """How many clips a value would hold if it were a batch."""
    if isinstance(audio, np.ndarray | torch.Tensor):
        return audio.shape[0] if audio.ndim > 1 else 0
    many = isinstance(audio, list | tuple) and len(audio) > 0 and not isinstance(audio[0], int | float)
    return len(audio) if many else 0


def _length(value: Any) -> int:
    if isinstance(value, np.ndarray | torch.Tensor):
        return value.shape[0] if value.ndim == 1 else 0
    return len(value) if isinstance(value, list | tuple) else 0


def _size(value: np.ndarray | np.generic | torch.Tensor) -> int:
    return 0 if isinstance(value, torch.Tensor) and value.is_nested else int(np.prod(value.shape))


def _path(value: Any) -> str | None:
    return printable(value) if isinstance(value, str | os.PathLike) and os.fspath(value) else None
