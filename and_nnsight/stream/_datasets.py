"""Clips from Hugging Face datasets: loaded, saved to disk, or streamed from the hub."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import soundfile

from and_nnsight.stream._items import UNKNOWN, Item, RemoteFile
from and_nnsight.stream._iterables import audio_path, text

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
        return {"bytes": value, "path": None} if isinstance(value, bytes) else {"bytes": None, "path": str(value)}


class DatasetSource:
    """Rows of a `datasets` Dataset or IterableDataset. The audio stays encoded: no system codec is needed."""

    def __init__(
        self,
        dataset: _Dataset,
        *,
        name: str,
        fingerprint: str,
        audio_column: str,
        label_column: str | None,
        caption_column: str | None,
        limit: int | None,
    ) -> None:
        self.kind = "dataset" if isinstance(dataset, datasets.Dataset) else "stream"
        self.name = name
        self.split = None if dataset.split is None else str(dataset.split)
        self.fingerprint = fingerprint
        self._limit = limit
        names = None if dataset.features is None else list(dataset.features)
        self._audio = audio_column
        self._label = _column(label_column, "label", names)
        self._caption = _column(caption_column, "caption", names)
        if names is not None:
            _require(names, audio_column, label_column, caption_column)
            wanted = dict.fromkeys(name for name in (audio_column, self._label, self._caption) if name is not None)
            dataset = dataset.select_columns(list(wanted))  # other columns may hold video, say
            if isinstance((dataset.features or {})[audio_column], datasets.Audio):
                dataset = dataset.cast_column(audio_column, _Encoded(decode=False))
        self._label_feature = None if dataset.features is None else dataset.features.get(self._label)
        self._dataset = dataset.with_format(None)

    @property
    def length(self) -> int | None:
        """Rows, at most `limit`; None for a stream."""
        if not isinstance(self._dataset, datasets.Dataset):
            return None
        return len(self._dataset) if self._limit is None else min(self._limit, len(self._dataset))

    def items(self, start: int = 0) -> Iterator[Item]:
        """The clips from position `start` on."""
        if isinstance(self._dataset, datasets.Dataset):
            length = self.length or 0
            rows = iter(self._dataset.select(range(start, length)) if start < length else ())
        else:
            rows = islice(self._dataset.skip(start), None if self._limit is None else max(0, self._limit - start))
        for position, row in enumerate(rows, start):
            if self._dataset.features is None:  # a stream that says what it holds only now
                given = (name for name in (self._label, self._caption) if name not in ("label", "caption"))
                _require(list(row), self._audio, *given)
            audio = row[self._audio]
            path = audio_path(audio)
            if path is not None and "://" in path and not (isinstance(audio, Mapping) and audio.get("bytes")):
                audio = RemoteFile(path)
            label, caption = _name(row.get(self._label), self._label_feature), text(row.get(self._caption))
            yield Item(position, audio, path, label, caption)


def is_dataset(data: Any) -> bool:
    """Whether `data` is a dataset of the `datasets` library, or a dict of its splits."""
    return isinstance(data, _Dataset | datasets.DatasetDict | datasets.IterableDatasetDict)


def is_saved(folder: Path) -> bool:
    """Whether `save_to_disk` wrote the folder."""
    return (folder / "dataset_dict.json").is_file() or (
        (folder / "dataset_info.json").is_file() and (folder / "state.json").is_file()
    )


def open_saved(folder: Path, *, split: str | None, **options: Any) -> DatasetSource:
    """A dataset that `save_to_disk` wrote."""
    return open_loaded(datasets.load_from_disk(folder), split=split, name=str(folder), **options)


def open_loaded(data: Any, *, split: str | None, name: str | None = None, **options: Any) -> DatasetSource:
    """A dataset in memory, or one split of a dict of them."""
    dataset = _choose(data, split, name or "the dataset")
    name = name or dataset.info.dataset_name or type(dataset).__name__
    # Nothing on a stream tells what was shuffled, mapped or skipped.
    fingerprint = dataset._fingerprint if isinstance(dataset, datasets.Dataset) else UNKNOWN
    return DatasetSource(dataset, name=name, fingerprint=fingerprint, **options)


def open_hub(name: str, config: str | None, *, split: str | None, **options: Any) -> DatasetSource:
    """A hub dataset, streamed."""
    full = name if config is None else f"{name}:{config}"
    try:
        builder = datasets.load_dataset_builder(name, config)
        data = builder.as_streaming_dataset()
    except (OSError, ValueError) as error:  # unknown, private, offline; no such config
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(
            f"{full!r} is no file or folder here, and the hub does not give it as a dataset: {first}"
        ) from error
    dataset = _choose(data, split, full)
    return DatasetSource(dataset, name=full, fingerprint=_hash(name, config, builder.hash), **options)


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


def _column(given: str | None, usual: str, names: list[str] | None) -> str | None:
    return given or (usual if names is None or usual in names else None)


def _require(names: list[str], *columns: str | None) -> None:
    for column in columns:
        if column is not None and column not in names:
            raise ValueError(f"no column {column!r}; the columns are {', '.join(names)}")


def _name(value: Any, feature: Any) -> str | None:
    """A label as text: a ClassLabel's name for its number, several joined."""
    if isinstance(value, list):
        inner = getattr(feature, "feature", feature)
        return ", ".join(name for name in (_name(part, inner) for part in value) if name is not None)
    if isinstance(feature, datasets.ClassLabel) and isinstance(value, int):
        return None if value < 0 else str(feature.int2str(value))  # -1: the split is not labelled
    return text(value)


def _hash(*parts: Any) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
