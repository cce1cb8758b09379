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

from and_nnsight.audio_error import AudioError
from and_nnsight.stream._items import UNKNOWN, Item, Unusable, Unused
from and_nnsight.stream._rows import RATES, make_item, read_whole
from and_nnsight.stream._text import encodable, is_missing
from and_nnsight.waveforms import as_array


class SequenceSource:
    """Clips that can be reached by position: a list, a 2-D array, a map-style torch dataset, a table's rows."""

    kind = "sequence"
    split = None
    unused: tuple[Unused, ...] = ()

    def __init__(
        self,
        data: Any,
        *,
        audio_column: str,
        label_column: str | None,
        caption_column: str | None,
        limit: int | None,
        name: str | None = None,
    ) -> None:
        self.name = name or type(data).__name__
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
            try:
                value = self._data[position]
            except LOADING as error:
                yield Item(position, not_loaded(error))
                continue
            yield make_item(position, value, *self._columns)


LOADING = (OSError, RuntimeError, ValueError, EOFError, MemoryError)
"""What libraries raise for a file that they cannot read: that clip's failure, not the run's."""


def not_loaded(error: BaseException) -> Unusable:
    """In the place of a clip that a dataset of the user's could not load."""
    return Unusable(f"its dataset cannot load it: {type(error).__name__}: {encodable(str(error).strip())}"[:1_000])


class IterableSource:
    """Clips of an iterable. A generator can be read once, so a run over it resumes only with a new one."""

    kind = "iterable"
    split = None
    fingerprint = UNKNOWN
    length = None
    unused: tuple[Unused, ...] = ()

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


def _add(digest: Any, value: Any) -> bool:
    """Hash a clip's content; False where the value does not show it."""
    if isinstance(value, torch.Tensor):
        try:
            value = as_array(value)
        except AudioError:
            return False
    if isinstance(value, np.ndarray):
        digest.update(f"array {value.dtype.str} {value.shape}".encode())
        if value.dtype.hasobject:
            return all(_add(digest, part) for part in value.ravel().tolist())
        digest.update(np.ascontiguousarray(value).reshape(-1).view(np.uint8).data)
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
            digest.update(_written(value).encode())
        else:
            return all(_add(digest, part) for part in value)
    elif is_missing(value) or isinstance(value, int | float | np.generic):
        digest.update(_written(value).encode())
    elif isinstance(value, set | frozenset):
        return _add(digest, sorted(value, key=str))
    elif hasattr(value, "waveform"):
        names = ("waveform", *RATES, "label", "caption", "path")
        return all(_add(digest, getattr(value, name, None)) for name in names)
    elif hasattr(value, "to_dict"):  # a row of pandas
        return _add(digest, value.to_dict())
    elif hasattr(value, "read") and hasattr(value, "seek"):
        return _add(digest, read_whole(value))
    else:
        return False
    return True


def _written(value: Any) -> str:
    """Numbers as text, also those of so many digits that Python refuses to write them."""
    try:
        return repr(value)
    except ValueError:
        return ", ".join(hex(part) if isinstance(part, int) else repr(part) for part in np.atleast_1d(value).tolist())
