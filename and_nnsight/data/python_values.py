"""Open what holds clips as Python values: tables, sequences, iterables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import IterableDataset

from .items import Columns, Source, refuse_split
from .iterables import IterableSource, SequenceSource
from .values import is_rate

_READ_BY = ("collect", "to_table", "read_all", "read")  # calls that give the rows of a table that was only announced


def open_values(data: Any, split: str | None, columns: Columns, limit: int | None) -> Source:
    """A table's rows, a sequence, or whatever else gives clips one after another.

    Raises ValueError for a single clip, for a dict of columns, for a split, and for what is no clips.
    """
    _refuse_columns(data, columns.audio)
    name = type(data).__name__
    _refuse_unread(data, name)
    if _is_one_clip(data):
        raise ValueError(f"data is a single clip ({name}): put it in a list")
    refuse_split(split, "an iterable of clips")
    data = _rows_of_table(data)
    if hasattr(data, "__getitem__") and hasattr(data, "__len__") and not isinstance(data, IterableDataset):
        return SequenceSource(data, columns, limit, name)
    if isinstance(data, Iterable):
        return IterableSource(data, columns, limit)
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
    if type(data).__module__.partition(".")[0] == "polars" and hasattr(data, "to_list"):
        return data.to_list()
    return data


def _refuse_unread(data: Any, name: str) -> None:
    """Raise ValueError for a table that was only announced, or is in groups; it says which call gives its rows."""
    package = type(data).__module__.partition(".")[0]
    if package not in ("polars", "pyarrow", "pandas"):
        return
    call = next((call for call in _READ_BY if hasattr(data, call)), None)
    if not any(hasattr(data, known) for known in ("to_dicts", "to_pylist", "to_list", "to_dict")) and call:
        raise ValueError(f"data is a {name}, a table that is not read yet: give its rows, data.{call}()")
    if "GroupBy" in name:
        raise ValueError(f"data is a {name}, a table in groups: give the table itself")


def _refuse_columns(data: Any, audio_column: str) -> None:
    """Raise ValueError for a dict of columns, which is neither one clip nor an iterable of them."""
    audio = data.get(audio_column) if isinstance(data, Mapping) else None
    if isinstance(audio, list | tuple) and audio and not isinstance(audio[0], int | float):
        raise ValueError("data is a dict of columns: give rows, for example datasets.Dataset.from_dict(data)")


def _refuse_namesakes(columns: Iterable[Any]) -> None:
    """Raise ValueError for columns of one name, of which a row would hold the last only."""
    twice = [name for name, count in Counter(columns).items() if count > 1]
    if twice:
        raise ValueError(f"the table has several columns {twice[0]!r}: rename them, or leave all but one out")


def _is_one_clip(data: Any) -> bool:
    if isinstance(data, np.ndarray | torch.Tensor):
        holds_clips = isinstance(data, np.ndarray) and data.dtype.kind in "OUS"  # of waveforms, of paths
        return data.ndim < (1 if holds_clips else 2)
    if isinstance(data, list | tuple):
        return _is_waveform(data) or (len(data) == 2 and any(is_rate(part) for part in data))  # a number is no clip
    is_file = hasattr(data, "get_all_samples") or hasattr(data, "read")
    return is_file or isinstance(data, bytes | bytearray | memoryview | Mapping)


def _is_waveform(values: Sequence[Any]) -> bool:
    return len(values) > 0 and all(isinstance(value, int | float) for value in values)
