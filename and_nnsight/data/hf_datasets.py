"""Clips from Hugging Face datasets: loaded, saved to disk, or streamed from the hub."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import soundfile

from ..wording import first_line
from .failures import LOAD_ERRORS, load_failure
from .file_signatures import file_content, file_signature, named_files
from .items import UNKNOWN, Columns, Item, RemoteFile, Unused
from .row_groups import RowGroups
from .rows import make_row_item
from .text import plain, text
from .values import RATES, audio_path, stated_rate

_Dataset = datasets.Dataset | datasets.IterableDataset


class _Encoded(datasets.Audio):
    """Audio left as it is encoded. `datasets` asks for a codec library to write rows of a stream even then."""

    def encode_example(self, value: Any) -> dict[str, Any]:
        """Bytes and path of whatever a stream's row holds."""
        if isinstance(value, Mapping) and value.get("array") is not None:
            file = io.BytesIO()
            soundfile.write(file, np.asarray(value["array"]).T, value["sampling_rate"], format="WAV", subtype="FLOAT")
            return {"bytes": file.getvalue(), "path": value.get("path")}
        if isinstance(value, Mapping):
            return {"bytes": value.get("bytes"), "path": value.get("path")}
        if isinstance(value, bytes):
            return {"bytes": value, "path": None}
        return {"bytes": None, "path": str(value)}


class DatasetSource:
    """Rows of a `datasets` Dataset or IterableDataset. The audio stays encoded: no system codec is needed.

    A transform of the user's (`set_transform`, `with_transform`) is kept: the clips are what the dataset then gives.
    """

    unused: tuple[Unused, ...] = ()

    def __init__(
        self,
        dataset: _Dataset,
        name: str,
        fingerprint: str,
        columns: Columns,
        limit: int | None,
        row_groups: RowGroups | None = None,
    ) -> None:
        """`row_groups` are those of the files that a stream reads, where they are known."""
        self.kind = "dataset" if isinstance(dataset, datasets.Dataset) else "stream"
        self.name = name
        self.split = None if dataset.split is None else str(dataset.split)
        self._own_fingerprint = fingerprint
        self._limit, self._row_groups = limit, row_groups
        self._columns = columns
        features = dataset.features
        self._label_feature = None if features is None else features.get(columns.label_key)
        classes = (name for name in RATES if isinstance((features or {}).get(name), datasets.ClassLabel))
        self._no_rates = (*classes, columns.label_key, columns.caption_key)
        self._columns_known = features is not None and not _is_transformed(dataset)
        if self._columns_known:
            dataset = _encoded_columns(dataset, columns)
        self._transformed = _is_transformed(dataset)
        self._dataset: Any = dataset if self._transformed else dataset.with_format(None)

    @property
    def fingerprint(self) -> str:
        """Of the rows, and of size and time of change of every file that they only name; "unknown" under a transform.

        What a transform gives may be another thing each time, and `datasets` knows a module's functions by name alone.
        """
        return UNKNOWN if self._transformed else self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        signatures = [file_signature(Path(file), file) for file in self._named_files() if "://" not in file]
        signatures += self._tables()
        if self._own_fingerprint == UNKNOWN or not signatures:
            return self._own_fingerprint
        return _hash(self._own_fingerprint, *signatures)

    def _tables(self) -> list[bytes]:
        """Of the Arrow files that the rows are in, which the fingerprint beside them does not follow."""
        files = getattr(self._dataset, "cache_files", None) or ()
        return [file_content(file["filename"]).encode() for file in files]

    def _named_files(self) -> list[str]:
        if not self._columns_known or not isinstance(self._dataset, datasets.Dataset):
            return []
        return named_files(self._dataset.data.column(self._columns.audio))

    @property
    def length(self) -> int | None:
        """Rows, at most `limit`; None for a stream."""
        if not isinstance(self._dataset, datasets.Dataset):
            return None
        return len(self._dataset) if self._limit is None else min(self._limit, len(self._dataset))

    def counted_length(self) -> int | None:
        """Rows, at most `limit`, also of a stream whose files say how many they hold; None where only reading tells."""
        if self._row_groups is None:
            return self.length
        return self._row_groups.rows if self._limit is None else min(self._limit, self._row_groups.rows)

    def items(self, start: int = 0) -> Iterator[Item]:
        """The clips from position `start` on.

        Raises ValueError for rows that are found, only now, to lack a column, and for a transform that needs a codec.
        """
        try:
            if self._transformed:  # by position: a file that the transform cannot read is one clip's failure
                yield from map(self._transformed_item, range(start, self.length or 0))
                return
            for position, row in enumerate(self._rows(start), start):
                yield self._item(position, row)
        except ImportError as error:
            raise ValueError(
                f"{self.name} decodes its audio before its transform, and that takes a package that is not here "
                f"({error}): install it, or cast the column to Audio(decode=False) and decode in the transform"
            ) from error

    def _transformed_item(self, position: int) -> Item:
        try:
            row = self._dataset[position]
        except LOAD_ERRORS as error:
            return Item(position, load_failure(error))
        return self._item(position, row)

    def _rows(self, start: int) -> Iterator[Any]:
        if isinstance(self._dataset, datasets.Dataset):
            length = self.length or 0
            return iter(self._dataset.select(range(start, length)) if start < length else ())
        if self._row_groups is not None and (start > 0 or self._row_groups.counted):
            rows = self._row_groups.rows_from(self._dataset, start)
        else:
            rows = self._dataset.skip(start)
        return islice(rows, None if self._limit is None else max(0, self._limit - start))

    def _item(self, position: int, row: Mapping[str, Any]) -> Item:
        if not self._columns_known:  # a stream, or a transform, that says what it holds only now
            _require(list(row), self._columns)
        audio = row[self._columns.audio]
        address = audio_path(audio)
        if address is not None and "://" in address and not (isinstance(audio, Mapping) and audio.get("bytes")):
            audio = RemoteFile(address)
        label = _name(row.get(self._columns.label_key), self._label_feature)
        caption = text(row.get(self._columns.caption_key))
        item = make_row_item(position, row, audio, label, caption, stated_rate(row, self._no_rates))
        if self._columns.words is not None:
            item = replace(item, words=row.get(self._columns.words))
        return replace(item, path=address) if address is not None else item


def _encoded_columns(dataset: _Dataset, columns: Columns) -> Any:
    """The dataset with what a clip is made of and nothing else, its audio encoded. ValueError for a missing column."""
    features = dataset.features or {}
    _require(list(features), columns)
    wanted = dict.fromkeys((columns.audio, columns.label_key, columns.caption_key, columns.words, "path", *RATES))
    dataset = dataset.select_columns(
        [name for name in wanted if name is not None and name in features]
    )  # others may hold video
    _refuse_nested_audio(columns.audio, features[columns.audio])
    if isinstance(features[columns.audio], datasets.Audio):
        return dataset.cast_column(columns.audio, _Encoded(decode=False))
    return dataset


def _refuse_nested_audio(column: str, feature: Any) -> None:
    """Raise ValueError for a column whose audio lies deeper: in lists, or in fields."""
    if isinstance(feature, dict):
        fields = [name for name, field in feature.items() if isinstance(field, datasets.Audio)]
        if fields:
            raise ValueError(
                f"column {column!r} holds its audio in a field, {fields[0]!r}: make a column of its own of that"
            )
    elif isinstance(getattr(feature, "feature", None), datasets.Audio):
        raise ValueError(f"column {column!r} holds lists of audio: pass a dataset of one recording a row")


def _is_transformed(dataset: _Dataset) -> bool:
    return isinstance(dataset, datasets.Dataset) and dataset.format["type"] == "custom"


def open_saved(folder: Path, split: str | None, columns: Columns, limit: int | None) -> DatasetSource:
    """A dataset that `save_to_disk` wrote."""
    return open_loaded(datasets.load_from_disk(folder), split, columns, limit, name=str(folder))


def open_loaded(
    data: Any, split: str | None, columns: Columns, limit: int | None, name: str | None = None
) -> DatasetSource:
    """A dataset in memory, or one split of a dict of them."""
    dataset = _choose(data, split, name or "the dataset")
    name = name or dataset.info.dataset_name or type(dataset).__name__
    # Nothing on a stream tells what was shuffled, mapped or skipped.
    fingerprint = dataset._fingerprint if isinstance(dataset, datasets.Dataset) else UNKNOWN
    return DatasetSource(dataset, name, fingerprint, columns, limit)


def open_hub(name: str, config: str | None, split: str | None, columns: Columns, limit: int | None) -> DatasetSource:
    """A hub dataset, streamed."""
    full = name if config is None else f"{name}:{config}"
    try:
        builder = datasets.load_dataset_builder(name, config)
        data = builder.as_streaming_dataset()
    except (OSError, ValueError) as error:  # unknown, private, offline; no such config
        raise ValueError(
            f"{full!r} is no file or folder here, and the hub does not give it as a dataset: {first_line(error)}"
        ) from error
    dataset = _choose(data, split, full)
    groups = RowGroups.of(builder, str(dataset.split))
    return DatasetSource(dataset, full, _hash(name, config, builder.hash), columns, limit, groups)


def _choose(data: Any, split: str | None, name: str) -> _Dataset:
    if not isinstance(data, Mapping):
        if split is not None and str(data.split) != split:
            raise ValueError(f"{name} is one split already ({data.split}): leave split={split!r} out")
        return data
    splits = list(data)
    if split is None and len(splits) == 1:
        return data[splits[0]]
    if split not in splits:
        what = f"{name} has several splits: choose with split=" if split is None else f"{name} has no split {split!r}"
        raise ValueError(f"{what}; they are {', '.join(map(str, splits))}")
    return data[split]


def _require(names: list[str], columns: Columns) -> None:
    for column in (columns.audio, *columns.named):
        if column not in names:
            raise ValueError(f"no column {column!r}; the columns are {', '.join(names)}")


def _name(value: Any, feature: Any) -> str | None:
    """A label as text: a ClassLabel's name for its number, several joined."""
    value = plain(value)
    if isinstance(value, list):
        inner = getattr(feature, "feature", feature)
        return ", ".join(name for name in (_name(part, inner) for part in value) if name is not None)
    if isinstance(feature, datasets.ClassLabel) and isinstance(value, int) and value < len(feature.names):
        return None if value < 0 else text(feature.int2str(value))  # -1: the split is not labelled
    return text(value)


def _hash(*parts: Any) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
