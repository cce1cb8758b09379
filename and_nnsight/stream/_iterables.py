"""Clips from Python values: sequences, and iterables that can only be read once."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np
import torch

from and_nnsight.stream._items import UNKNOWN, Item


class SequenceSource:
    """Clips that can be reached by position: a list, a tuple, a 2-D array, a map-style torch dataset."""

    kind = "sequence"
    split = None

    def __init__(
        self, data: Any, *, audio_column: str, label_column: str | None, caption_column: str | None, limit: int | None
    ) -> None:
        self.name = type(data).__name__
        self.length = len(data) if limit is None else min(limit, len(data))
        self._data = data
        self._columns = (audio_column, label_column, caption_column)

    @property
    def fingerprint(self) -> str:
        """Of every clip's content; "unknown" for a sequence that makes its clips on access."""
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        if not isinstance(self._data, list | tuple | np.ndarray | torch.Tensor):
            return UNKNOWN
        digest = hashlib.sha256()
        known = all(_add(digest, value) for value in self._data)
        return digest.hexdigest()[:16] if known else UNKNOWN

    def items(self, start: int = 0) -> Iterator[Item]:
        """The clips from position `start` on."""
        for position in range(start, self.length):
            yield make_item(position, self._data[position], *self._columns)


class IterableSource:
    """Clips of an iterable. A generator can be read once, so a run over it resumes only with a new one."""

    kind = "iterable"
    split = None
    fingerprint = UNKNOWN
    length = None

    def __init__(
        self,
        data: Iterable[Any],
        *,
        audio_column: str,
        label_column: str | None,
        caption_column: str | None,
        limit: int | None,
    ) -> None:
        self.name = type(data).__name__
        self._data = data
        self._columns = (audio_column, label_column, caption_column)
        self._limit = limit
        self._read = False

    def items(self, start: int = 0) -> Iterator[Item]:
        """The clips from position `start` on; those before it are read and dropped."""
        clips = iter(self._data)
        if clips is self._data:
            if self._read:
                raise ValueError(f"the {self.name} has been read already: give a list, or a new {self.name}")
            self._read = True
        for position, value in enumerate(islice(clips, self._limit)):
            if position >= start:
                yield make_item(position, value, *self._columns)


def make_item(
    position: int, value: Any, audio_column: str, label_column: str | None, caption_column: str | None
) -> Item:
    """One clip from a plain audio value, a dict with one (or that is one), or an object with `.waveform`."""
    label_key, caption_key = label_column or "label", caption_column or "caption"
    if isinstance(value, Mapping):
        for column in (label_column, caption_column):
            if position == 0 and column is not None and column not in value:  # later ones may lack it
                raise ValueError(f"no key {column!r} in the first clip; its keys are {', '.join(map(str, value))}")
        audio = value.get(audio_column, value)
        rate, path, label, caption = (value.get(key) for key in ("sampling_rate", "path", label_key, caption_key))
    elif hasattr(value, "waveform"):
        audio = value.waveform
        rate, path, label, caption = (
            getattr(value, key, None) for key in ("sampling_rate", "path", label_key, caption_key)
        )
    else:
        audio, rate, path, label, caption = value, None, None, None, None
    path = path or audio_path(audio)
    return Item(position, audio, None if path is None else os.fspath(path), text(label), text(caption), rate)


def audio_path(audio: Any) -> str | None:
    """The path that an audio value carries, if it does."""
    if isinstance(audio, Mapping):
        audio = audio.get("path")
    return os.fspath(audio) if isinstance(audio, str | os.PathLike) else None


def text(value: Any) -> str | None:
    """A label or caption as text; several are joined."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, list | tuple):
        return ", ".join(str(part) for part in value)
    return str(value)


def _add(digest: Any, value: Any) -> bool:
    """Hash a clip's content; False where the value does not show it."""
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu()
        value = (value.float() if value.dtype == torch.bfloat16 else value).numpy()
    if isinstance(value, np.ndarray):
        digest.update(f"array {value.dtype.str} {value.shape}".encode())
        digest.update(np.ascontiguousarray(value).data if value.dtype != object else repr(value).encode())
    elif isinstance(value, os.PathLike):
        return _add(digest, os.fspath(value))
    elif isinstance(value, str):
        digest.update(f"text {value!r}".encode("utf-8", "surrogatepass"))
        try:
            state = os.stat(value)  # noqa: PTH116  a path, if there is such a file
        except (OSError, ValueError):
            return True
        digest.update(f"{state.st_size} {state.st_mtime_ns}".encode())
    elif isinstance(value, bytes | bytearray | memoryview):
        digest.update(f"bytes {len(value)}".encode())
        digest.update(value)
    elif isinstance(value, Mapping):
        digest.update(f"dict {len(value)}".encode())
        return all(_add(digest, str(key)) and _add(digest, part) for key, part in value.items())
    elif isinstance(value, list | tuple):
        digest.update(f"list {len(value)}".encode())
        if all(isinstance(part, int | float) for part in value):
            digest.update(repr(value).encode())
        else:
            return all(_add(digest, part) for part in value)
    elif value is None or isinstance(value, int | float | np.generic):
        digest.update(repr(value).encode())
    elif hasattr(value, "waveform"):
        names = ("waveform", "sampling_rate", "label", "caption", "path")
        return all(_add(digest, getattr(value, name, None)) for name in names)
    else:
        return False
    return True
