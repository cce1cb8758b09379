"""Open whatever holds clips: folders, datasets, tables, plain Python iterables."""

from __future__ import annotations

import os
import sys
from typing import Any

from torch.utils.data import (
    BatchSampler,
    DataLoader,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    default_collate,
    default_convert,
)

from .items import Columns, Source
from .paths import open_path
from .python_values import open_values


def open_source(
    data: Any,
    *,
    split: str | None = None,
    audio_column: str = "audio",
    label_column: str | None = None,
    caption_column: str | None = None,
    limit: int | None = None,
    words_column: str | None = None,
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
    words_column    a column of words with times, which is read as it stands there; None: none is read
    limit           at most this many clips, those that turn out unreadable included

    Raises ValueError if there is no such data, split or column, or it is no clips; the message says what there is, or
    what to give instead.
    """
    if limit is not None and limit < 1:
        raise ValueError(f"limit must be a whole number of at least 1, not {limit!r}: leave it out for all clips")
    columns = Columns(audio_column, label_column, caption_column, words_column)
    if isinstance(data, DataLoader):
        data = _dataset_of(data)
    if isinstance(data, str | os.PathLike):
        return open_path(data, split, columns, limit)
    if _is_dataset(data):
        from . import hf_datasets  # here: `datasets` takes half a second to import

        return hf_datasets.open_loaded(data, split, columns, limit)
    return open_values(data, split, columns, limit)


def _is_dataset(data: Any) -> bool:
    """Whether it is a dataset of the `datasets` library, or a dict of its splits: none is, before that is imported."""
    library = sys.modules.get("datasets")
    names = ("Dataset", "IterableDataset", "DatasetDict", "IterableDatasetDict")
    return library is not None and isinstance(data, tuple(getattr(library, name) for name in names))


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
