"""Open whatever holds clips: folders, datasets, tables, plain Python iterables."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    default_collate,
    default_convert,
)

from and_nnsight.containers import ENDINGS
from and_nnsight.stream._items import Source
from and_nnsight.stream._rows import split_rate
from and_nnsight.stream._text import printable

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
            `:config`; streamed), a `datasets` Dataset, IterableDataset or a dict of them (a transform that was set is
            kept), a table of pandas, pyarrow or polars, a torch DataLoader (it stands for its dataset: batches are made
            anew), or an iterable of clips: audio values, dicts with "audio" (and "label", "caption", "path",
            "sampling_rate"), tuples `(waveform, rate)`, `(waveform, rate, label)` or `(file, label)`, open files, or
            objects with `.waveform` (and `.sampling_rate`, `.label`, `.caption`).
        split: which split of a dataset. None: its only one.
        audio_column: the column, or dict key, that holds the audio.
        label_column: None: "label" where there is such a column; else, in a folder, the name of a file's folder.
        caption_column: None: "caption" where there is such a column.
        limit: at most this many clips, those that turn out unreadable included.

    Raises:
        ValueError: there is no such data, split or column, or it is no clips; the message says what there is, or what
            to give instead.
    """
    if limit is not None and limit < 0:
        raise ValueError(f"limit must not be negative, it is {limit}")
    from and_nnsight.stream import _datasets, _folder, _iterables  # here: `datasets` takes a second to import

    columns = {"audio_column": audio_column, "label_column": label_column, "caption_column": caption_column}
    if isinstance(data, str | os.PathLike):
        path = _expanded(data)
        if _is_folder(path):
            if _datasets.is_saved(path):
                return _datasets.open_saved(path, split=split, limit=limit, **columns)
            _refuse_split(split, "a folder of audio")
            return _folder.FolderSource(path, label_column, caption_column, limit)
        if _is_there(path):
            _refuse_split(split, "an audio file")
            return _folder.FileSource(path, limit)
        hub = _HUB_ID.fullmatch(data) if isinstance(data, str) else None
        if hub is None or path.suffix.lower() in ENDINGS or hub["name"].startswith("."):
            raise ValueError(f"no such file or folder: {printable(data)}")
        return _datasets.open_hub(hub["name"], hub["config"], split=split, limit=limit, **columns)
    if isinstance(data, DataLoader):
        data = _dataset_of(data)
    if _datasets.is_dataset(data):
        return _datasets.open_loaded(data, split=split, limit=limit, **columns)
    _refuse_columns(data, audio_column)
    if _is_one_clip(data):
        raise ValueError(f"data is a single clip ({type(data).__name__}): put it in a list")
    _refuse_split(split, "an iterable of clips")
    name = type(data).__name__
    if hasattr(data, "iloc") and hasattr(data, "to_dict"):  # pandas: a table's rows, or a column's values
        data = data.to_dict("records") if hasattr(data, "columns") else list(data)
    elif rows := getattr(data, "to_pylist", getattr(data, "to_dicts", None)):  # pyarrow, polars
        data = rows()
    if hasattr(data, "__getitem__") and hasattr(data, "__len__") and not isinstance(data, IterableDataset):
        return _iterables.SequenceSource(data, limit=limit, name=name, **columns)
    if isinstance(data, Iterable):
        return _iterables.IterableSource(data, limit=limit, **columns)
    raise ValueError(
        f"data is a {name}; it can be a folder, an audio file, a dataset or its hub id, or an iterable of clips"
    )


def _expanded(data: Any) -> Path:
    try:
        return Path(data).expanduser()
    except RuntimeError as error:  # ~ of nobody
        raise ValueError(f"no such file or folder: {printable(data)}: {error}") from error


def _is_folder(path: Path) -> bool:
    with suppress(OSError):  # a name that is too long
        return path.is_dir()
    return False


def _is_there(path: Path) -> bool:
    with suppress(OSError):
        return path.exists()
    return False


def _dataset_of(loader: DataLoader[Any]) -> Any:
    """The dataset whose clips a loader batches. Raises ValueError for a loader that does more than that."""
    if loader.collate_fn not in (default_collate, default_convert):
        raise ValueError(
            "data is a DataLoader with a collate_fn of its own, which may pad clips or mix them: pass its dataset "
            "(loader.dataset), whose items are clips; dissect makes its own batches (batch_size=, num_workers=)"
        )
    dataset: Any = loader.dataset
    if isinstance(dataset, IterableDataset):
        return dataset
    sampler: Any = loader.sampler
    if type(loader.batch_sampler) not in (BatchSampler, type(None)):
        sampler = loader.batch_sampler
    once = isinstance(sampler, RandomSampler) and not sampler.replacement and sampler.num_samples == len(dataset)
    if not once and not isinstance(sampler, SequentialSampler):
        raise ValueError(
            f"data is a DataLoader with a {type(sampler).__name__}, which may leave clips out or repeat them: pass "
            "loader.dataset, or torch.utils.data.Subset(loader.dataset, indices)"
        )
    return dataset


def _refuse_split(split: str | None, what: str) -> None:
    if split is not None:
        raise ValueError(f"{what} has no splits: leave split={split!r} out")


def _refuse_columns(data: Any, audio_column: str) -> None:
    """Raise ValueError for a dict of columns, which is neither one clip nor an iterable of them."""
    audio = data.get(audio_column) if isinstance(data, Mapping) else None
    if isinstance(audio, list | tuple) and audio and not isinstance(audio[0], int | float):
        raise ValueError("data is a dict of columns: give rows, for example datasets.Dataset.from_dict(data)")


def _is_one_clip(data: Any) -> bool:
    if isinstance(data, np.ndarray) and data.dtype.kind in "OUS":  # of waveforms, of paths
        return data.ndim == 0
    if isinstance(data, np.ndarray | torch.Tensor):
        return data.ndim < 2
    if isinstance(data, list | tuple):
        numbers = len(data) > 0 and all(isinstance(value, int | float) for value in data)
        return numbers or (len(data) == 2 and split_rate(data)[1] is not None)
    whole = hasattr(data, "get_all_samples") or hasattr(data, "read")
    return isinstance(data, bytes | bytearray | memoryview | Mapping) or whole
