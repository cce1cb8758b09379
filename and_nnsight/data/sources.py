"""Open whatever holds clips: folders, datasets, tables, plain Python iterables."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
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

from ..audio.containers import ENDINGS
from .items import Columns, Source
from .text import printable
from .values import split_rate

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

    data            a folder of audio (nested; `metadata.csv` or `metadata.jsonl` at its root decides where there is
                    one), one audio file, the folder of a saved dataset, a hub dataset id (`name`, `org/name`, either
                    with `:config`; streamed), a `datasets` Dataset, IterableDataset or a dict of them (a transform that
                    was set is kept), a table of pandas, pyarrow or polars, a torch DataLoader (it stands for its
                    dataset: batches are made anew), or an iterable of clips: audio values, dicts with "audio" (and
                    "label", "caption", "path", "sampling_rate"), tuples `(waveform, rate)`, `(waveform, rate, label)`
                    or `(file, label)`, open files, or objects with `.waveform` (and `.sampling_rate`, `.label`,
                    `.caption`)
    split           which split of a dataset; None: its only one
    audio_column    the column, or dict key, that holds the audio
    label_column    None: "label" where there is such a column; else, in a folder, the name of a file's folder
    caption_column  None: "caption" where there is such a column
    limit           at most this many clips, those that turn out unreadable included

    Raises ValueError if there is no such data, split or column, or it is no clips; the message says what there is, or
    what to give instead.
    """
    if limit is not None and limit < 0:
        raise ValueError(f"limit must not be negative, it is {limit}")
    from . import hf_datasets  # here: `datasets` takes a second to import

    columns = Columns(audio_column, label_column, caption_column)
    if isinstance(data, str | os.PathLike):
        return _open_path(data, split, columns, limit)
    if isinstance(data, DataLoader):
        data = _dataset_of(data)
    if hf_datasets.is_dataset(data):
        return hf_datasets.open_loaded(data, split, columns, limit)
    _refuse_columns(data, audio_column)
    if _is_one_clip(data):
        raise ValueError(f"data is a single clip ({type(data).__name__}): put it in a list")
    _refuse_split(split, "an iterable of clips")
    return _open_values(data, columns, limit)


def _open_path(data: str | os.PathLike[str], split: str | None, columns: Columns, limit: int | None) -> Source:
    """A folder, a file, or, where there is neither, a dataset on the hub."""
    from . import folder, hf_datasets

    path = _expand(data)
    if _is_folder(path) and hf_datasets.is_saved(path):
        return hf_datasets.open_saved(path, split, columns, limit)
    if _is_folder(path):
        _refuse_split(split, "a folder of audio")
        return folder.FolderSource(path, columns, limit)
    if _exists(path):
        _refuse_split(split, "an audio file")
        return folder.FileSource(path, limit)
    hub = _HUB_ID.fullmatch(data) if isinstance(data, str) else None
    if hub is None or path.suffix.lower() in ENDINGS or hub["name"].startswith("."):
        raise ValueError(f"no such file or folder: {printable(data)}")
    return hf_datasets.open_hub(hub["name"], hub["config"], split, columns, limit)


def _expand(data: str | os.PathLike[str]) -> Path:
    try:
        return Path(data).expanduser()
    except RuntimeError as error:  # ~ of nobody
        raise ValueError(f"no such file or folder: {printable(data)}: {error}") from error


def _is_folder(path: Path) -> bool:
    with suppress(OSError):  # a name that is too long
        return path.is_dir()
    return False


def _exists(path: Path) -> bool:
    with suppress(OSError):
        return path.exists()
    return False


def _open_values(data: Any, columns: Columns, limit: int | None) -> Source:
    """Python values: a table's rows, a sequence, or whatever else gives clips one after another."""
    from . import iterables

    name = type(data).__name__
    data = _rows_of_table(data)
    if hasattr(data, "__getitem__") and hasattr(data, "__len__") and not isinstance(data, IterableDataset):
        return iterables.SequenceSource(data, columns, limit, name)
    if isinstance(data, Iterable):
        return iterables.IterableSource(data, columns, limit)
    raise ValueError(
        f"data is a {name}; it can be a folder, an audio file, a dataset or its hub id, or an iterable of clips"
    )


def _rows_of_table(data: Any) -> Any:
    """A table's rows, or a column's values; what is no table as it is."""
    if hasattr(data, "iloc") and hasattr(data, "to_dict"):  # pandas
        _refuse_namesakes(getattr(data, "columns", ()))
        return data.to_dict("records") if hasattr(data, "columns") else list(data)
    if hasattr(data, "to_pylist"):  # pyarrow
        return data.to_pylist()
    if hasattr(data, "to_dicts"):  # polars
        return data.to_dicts()
    return data


def _refuse_namesakes(columns: Iterable[Any]) -> None:
    """Raise ValueError for columns of one name, of which a row would hold the last only."""
    twice = [name for name, count in Counter(columns).items() if count > 1]
    if twice:
        raise ValueError(f"the table has several columns {twice[0]!r}: rename them, or leave all but one out")


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
    if isinstance(data, np.ndarray | torch.Tensor):
        holds_clips = isinstance(data, np.ndarray) and data.dtype.kind in "OUS"  # of waveforms, of paths
        return data.ndim < (1 if holds_clips else 2)
    if isinstance(data, list | tuple):
        return _is_waveform(data) or (len(data) == 2 and split_rate(data)[1] is not None)
    is_file = hasattr(data, "get_all_samples") or hasattr(data, "read")
    return is_file or isinstance(data, bytes | bytearray | memoryview | Mapping)


def _is_waveform(values: Sequence[Any]) -> bool:
    return len(values) > 0 and all(isinstance(value, int | float) for value in values)
