"""What a Python value is, as far as clips go: samples, a rate, an encoded file, a path."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import torch

from ..audio.waveforms import plain_samples
from .items import Unusable
from .text import is_missing, printable

RATES = ("sampling_rate", "sample_rate", "sr")
"""Keys beside a waveform that state its rate."""
COMMON_RATES = frozenset(
    {8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 37_800, 44_056, 44_100, 48_000, 64_000, 88_200, 96_000}
    | {176_400, 192_000, 250_000, 256_000, 384_000, 500_000}
)
"""Rates of recorders and codecs. Of another number beside a waveform nobody can say that it is no label."""
_ABSENT = object()
_LOWEST_RATE = 1_000  # a number below is no rate: a label, most likely


def split_rate(audio: Any) -> tuple[Any, Any]:
    """An audio value that `load` takes, and the rate that came with it where `load` would not see it."""
    if isinstance(audio, Mapping):
        return _split_mapping(audio)
    audio = plain_samples(audio)
    pair = waveform_and_rate(*audio) if isinstance(audio, list | tuple) and len(audio) == 2 else None
    if pair is not None:
        return pair
    rate = getattr(audio, "sample_rate", _ABSENT)
    samples = None if rate is _ABSENT else getattr(audio, "data", None)
    if isinstance(samples, torch.Tensor):
        return samples, number(rate)  # torchcodec's
    if hasattr(audio, "read") and not hasattr(audio, "read_bytes"):
        return read_whole(audio), None
    return audio, None


def _split_mapping(audio: Mapping[Any, Any]) -> tuple[Any, Any]:
    waveform = next((audio[key] for key in ("array", "raw") if audio.get(key) is not None), None)
    if waveform is None or isinstance(audio.get("sampling_rate"), int):
        return audio, None
    return waveform, stated_rate(audio)


def waveform_and_rate(first: Any, second: Any) -> tuple[Any, Any] | None:
    """Waveform and rate of two values, in either order, if that is what they are."""
    first, second = plain_samples(first), plain_samples(second)
    for signal, rate in ((first, second), (second, first)):
        if is_signal(signal) and (rate is None or is_rate(rate)):
            return signal, number(rate)
    return None


def is_rate(value: Any) -> bool:
    """Whether a value is a number that can be a sampling rate."""
    return is_number(value) and number(value) >= _LOWEST_RATE


def stated_rate(row: Mapping[str, Any], others: Collection[str] = ()) -> Any:
    """The sampling rate that stands beside a waveform in its row; `others` are columns of something else."""
    names = [name for name in RATES if name not in others]
    return next((number(row[name]) for name in names if row.get(name) is not None), None)


def number(value: Any) -> Any:
    """A number out of a tensor or an array that holds one; anything else as it is."""
    while isinstance(value, np.ndarray | np.generic | torch.Tensor) and _size(value) == 1:
        value = value.reshape(-1)[0].item()
    return None if is_missing(value) else value


def read_whole(file: Any) -> Any:
    """The bytes of an open file, from its beginning where it can be rewound; Unusable where it gives none."""
    try:
        if getattr(file, "seekable", lambda: False)():
            file.seek(0)
        content = file.read()
    except (OSError, ValueError) as error:  # ValueError: it is closed
        return Unusable(f"an open file that cannot be read: {error}")
    return Unusable("a file that was opened as text: open it with 'rb'") if isinstance(content, str) else content


def audio_path(audio: Any) -> str | None:
    """The path that an audio value carries, if it does, as text that can be written."""
    return path_text(audio.get("path") if isinstance(audio, Mapping) else audio)


def path_text(value: Any) -> str | None:
    """A path as text that can be written; None for a value that is none."""
    return printable(value) if isinstance(value, str | os.PathLike) and os.fspath(value) else None


def is_signal(value: Any) -> bool:
    """Whether a value is samples: an array with an axis, or a list of numbers (or of channels)."""
    if isinstance(value, np.ndarray | torch.Tensor):
        return value.ndim > 0 and _size(value) > 1
    return isinstance(value, list | tuple) and len(value) > 0 and isinstance(value[0], int | float | list | tuple)


def is_encoded(value: Any) -> bool:
    """Whether a value is an encoded file: its bytes, or its path."""
    return isinstance(plain_samples(value), str | bytes | bytearray | memoryview | os.PathLike)


def is_number(value: Any) -> bool:
    """Whether a value is one number, an array's or a tensor's included."""
    if isinstance(value, np.ndarray | torch.Tensor) and _size(value) != 1:
        return False
    plain = number(value)
    return isinstance(plain, int | float) and not isinstance(plain, bool)


def _size(value: np.ndarray | np.generic | torch.Tensor) -> int:
    return 0 if isinstance(value, torch.Tensor) and value.is_nested else int(np.prod(value.shape))
