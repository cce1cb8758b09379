"""The clips of a dissection once more: in their own files, or in the data that was dissected, given again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ..data import UNKNOWN, Item, Source
from ..data.options import DataOptions
from ..wording import agree, counted
from .dissection import Dissection
from .errors import DissectionError

_JUMP = {"sequence": 1, "dataset": 32}  # positions it pays to leap over, in sources that can leap
_FILES = ("folder", "file")  # kinds of sources that can be opened again by their names


def dissected_items(dissection: Dissection, clips: Sequence[int], data: Any = None) -> Iterator[Item]:
    """The clips of these ids (ascending), not decoded, in their order: from their own files, else from `data`.

    Raises DissectionError if there is neither a file nor data, the data is not what was dissected, or it ends before.
    """
    files = files_of(dissection, clips)
    lacking = [clip for clip, path in files.items() if path is None]
    data = _saved_place(dissection) if data is None else data
    if lacking and data is not None:
        return wanted_items(reopened(dissection, data), clips)
    check_files(dissection, len(files), lacking)
    return (Item(clip, files[clip] or dissection.clips[clip].path, dissection.clips[clip].path) for clip in files)


def files_of(dissection: Dissection, clips: Iterable[int]) -> dict[int, Path | None]:
    """Where each clip's file is, in the order of the clips; None for those that have none."""
    files: dict[int, Path | None] = {}
    for clip in dict.fromkeys(clips):
        if clip in dissection.clips:
            path = dissection.clips[clip].path
            files[clip] = Path(path) if path is not None and _is_file(path) else None
    return files


def _is_file(path: str) -> bool:
    try:
        return Path(path).is_file()
    except (OSError, ValueError):  # a name that no file can have
        return False


def check_files(dissection: Dissection, clips: int, lacking: Sequence[int]) -> None:
    """Raise DissectionError where no clip has a file, or some have none and never had one."""
    dataset = dissection.manifest.dataset
    if lacking and (len(lacking) == clips or dataset.kind not in _FILES):
        raise DissectionError(
            f"{counted(len(lacking), 'clip')}, {lacking[0]} first, {agree(len(lacking), 'is', 'are')} in no file that "
            f"is still there: pass data= (--data), what was dissected ({dataset.name})"
        )


def reopened(dissection: Dissection, data: Any, column: str | None = None) -> Source:
    """The dissected data, opened as it was then, with `column` in the place of the captions.

    Raises DissectionError for data that is not what was dissected.
    """
    dataset = dissection.manifest.dataset
    captions = column or dataset.caption_column
    options = DataOptions(dataset.split, dataset.audio_column or "audio", dataset.label_column, captions, dataset.limit)
    source = options.open(data)
    known = UNKNOWN not in (source.fingerprint, dataset.fingerprint)
    if known and source.fingerprint != dataset.fingerprint and not _has_the_files_of(dissection, source):
        raise DissectionError(
            f"data= is not what was dissected ({dataset.name}): the fingerprint there was {dataset.fingerprint}, "
            f"this one is {source.fingerprint}"
        )
    return source


def place_of(dissection: Dissection) -> str | None:
    """Where the dissected data is on this machine; None where it is not."""
    dataset = dissection.manifest.dataset
    if dataset.kind not in _FILES or dataset.name is None or not Path(dataset.name).exists():
        return None
    return dataset.name


def _saved_place(dissection: Dissection) -> str | None:
    """Where a dataset that was saved to disk is; None for other data."""
    dataset = dissection.manifest.dataset
    saved = dataset.kind == "dataset" and dataset.name is not None and (Path(dataset.name) / "state.json").is_file()
    return dataset.name if saved else None


def _has_the_files_of(dissection: Dissection, source: Source) -> bool:
    """Whether a folder has the dissected files under their names: a copy, whose times of change are other ones.

    That it holds the same sounds shows in each clip's length when it is read.
    """
    if not source.kind == dissection.manifest.dataset.kind == "folder":
        return False
    root = Path.cwd() / source.name
    names = {item.id: Path(item.path or root).relative_to(root).parts for item in source.items()}
    return all(
        clip in names and row.path is not None and Path(row.path).parts[-len(names[clip]) :] == names[clip]
        for clip, row in dissection.clips.items()
    )


def wanted_items(source: Source, wanted: Sequence[int]) -> Iterator[Item]:
    """The items of these positions (ascending). Raises DissectionError if the source ends before the last."""
    jump = _JUMP.get(source.kind)
    items: Iterator[Item] | None = None
    position = 0
    for clip in wanted:
        if items is None or (jump is not None and clip - position >= jump):
            items, position = source.items(clip), clip
        for item in items:
            position = item.id + 1
            if item.id == clip:
                yield item
                break
        else:
            raise DissectionError(f"data= ends before clip {clip}: it is not what was dissected")
