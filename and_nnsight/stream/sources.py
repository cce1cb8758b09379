"""Where clips come from: one small protocol over folders, datasets and plain Python iterables."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch

_HUB_ID = re.compile(r"(?P<name>[\w.-]+(?:/[\w.-]+)?)(?::(?P<config>[\w.-]+))?")


@dataclass(frozen=True)
class Item:
    """One clip of a source, not decoded yet.

    Attributes:
        id: position in the source, from 0; stays the clip's id for good.
        audio: any value that `and_nnsight.audio.load` takes.
        path: where the audio is; None where it has no place of its own.
        label: what the dataset files it under.
        caption: what the dataset says of it in words.
        sampling_rate: rate of `audio` where it is a bare waveform; None: it is taken to be at the model's.
    """

    id: int
    audio: Any
    path: str | None = None
    label: str | None = None
    caption: str | None = None
    sampling_rate: int | None = None


@dataclass(frozen=True)
class RemoteFile:
    """A file of a streamed dataset, fetched where it is decoded (in a worker, if there are any)."""

    address: str

    def read_bytes(self) -> bytes:
        """Its content, through the dataset library's own client."""
        from datasets.utils.file_utils import xopen

        with xopen(self.address, "rb") as stream:
            return stream.read()

    def __str__(self) -> str:
        return self.address


@runtime_checkable
class Source(Protocol):
    """A sequence of clips in a fixed order.

    `kind` says what it was made from, `name` which one, `split` which part of it. `length` is None where only reading
    tells. `fingerprint` is short hex that changes when what a run would see changes, or "unknown" where the clips
    cannot be looked at beforehand (generators, sequences that load their clips on access). The fingerprint is of the
    whole source, whatever the limit.
    """

    @property
    def kind(self) -> str: ...  # noqa: D102
    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def split(self) -> str | None: ...  # noqa: D102
    @property
    def length(self) -> int | None: ...  # noqa: D102
    @property
    def fingerprint(self) -> str: ...  # noqa: D102

    def items(self, start: int = 0) -> Iterator[Item]:
        """The clips from position `start` on. A generator can be read only once; `start` then reads what it skips."""
        ...


def open_source(
    data: Any,
    *,
    split: str | None = None,
    audio_column: str = "audio",
    label_column: str | None = None,
    caption_column: str | None = None,
    limit: int | None = None,
) -> Source:
    """The clips of `data`, whatever it is.

    Args:
        data: a folder of audio (nested; `metadata.csv` or `metadata.jsonl` at its root decides where there is one),
            one audio file, the folder of a saved dataset, a hub dataset id (`name`, `org/name`, either with
            `:config`; streamed), a `datasets` Dataset, IterableDataset or a dict of them, or an iterable of clips:
            audio values, dicts with "audio" (and "label", "caption", "path", "sampling_rate"), or objects with
            `.waveform` (and `.sampling_rate`, `.label`, `.caption`).
        split: which split of a dataset. None: its only one.
        audio_column: the column, or dict key, that holds the audio.
        label_column: None: "label" where there is such a column; else, in a folder, the name of a file's folder.
        caption_column: None: "caption" where there is such a column.
        limit: at most this many clips, those that turn out unreadable included.

    Raises:
        ValueError: there is no such data, split or column; the message lists what there is.
    """
    if limit is not None and limit < 0:
        raise ValueError(f"limit must not be negative, it is {limit}")
    from and_nnsight.stream import _datasets, _folder, _iterables  # here: `datasets` takes a second to import

    columns = {"audio_column": audio_column, "label_column": label_column, "caption_column": caption_column}
    if isinstance(data, str | os.PathLike):
        path = Path(data).expanduser()
        if path.is_dir():
            if _datasets.is_saved(path):
                return _datasets.open_saved(path, split=split, limit=limit, **columns)
            _refuse_split(split, "a folder of audio")
            return _folder.FolderSource(path, label_column, caption_column, limit)
        if path.exists():
            _refuse_split(split, "an audio file")
            return _folder.FileSource(path, limit)
        hub = _HUB_ID.fullmatch(data) if isinstance(data, str) else None
        if hub is None or path.suffix.lower() in _folder.EXTENSIONS or hub["name"].startswith("."):
            raise ValueError(f"no such file or folder: {data}")
        return _datasets.open_hub(hub["name"], hub["config"], split=split, limit=limit, **columns)
    if _datasets.is_dataset(data):
        return _datasets.open_loaded(data, split=split, limit=limit, **columns)
    if _is_one_clip(data):
        raise ValueError(f"data is a single clip ({type(data).__name__}): put it in a list")
    _refuse_split(split, "an iterable of clips")
    if hasattr(data, "__getitem__") and hasattr(data, "__len__"):
        return _iterables.SequenceSource(data, limit=limit, **columns)
    if isinstance(data, Iterable):
        return _iterables.IterableSource(data, limit=limit, **columns)
    raise ValueError(
        f"data is a {type(data).__name__}; it can be a folder, an audio file, a dataset or its hub id, or an iterable "
        "of clips"
    )


def _refuse_split(split: str | None, what: str) -> None:
    if split is not None:
        raise ValueError(f"{what} has no splits: leave split={split!r} out")


def _is_one_clip(data: Any) -> bool:
    if isinstance(data, np.ndarray | torch.Tensor):
        return data.ndim < 2
    if isinstance(data, list | tuple):
        return len(data) > 0 and all(isinstance(value, int | float) for value in data)
    return isinstance(data, bytes | bytearray | memoryview | Mapping) or hasattr(data, "get_all_samples")
