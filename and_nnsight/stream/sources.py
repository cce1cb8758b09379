"""Open whatever holds clips: folders, datasets, plain Python iterables."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from and_nnsight.stream._items import Source

_HUB_ID = re.compile(r"(?P<name>[\w.-]+(?:/[\w.-]+)?)(?::(?P<config>[\w.-]+))?")


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
