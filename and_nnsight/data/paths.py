"""Open what a path or name leads to: a folder, a file, a saved dataset, or a dataset on the hub."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from types import ModuleType

from ..audio.containers import ENDINGS
from .folder import FileSource, FolderSource
from .items import Columns, Source, refuse_split
from .text import printable

_HUB_ID = re.compile(r"(?P<name>[\w.-]+(?:/[\w.-]+)?)(?::(?P<config>[\w.-]+))?")


def open_path(data: str | os.PathLike[str], split: str | None, columns: Columns, limit: int | None) -> Source:
    """A folder, a file, or, where there is neither, a dataset on the hub. Raises ValueError for none of them."""
    path = _expand(data)
    if _is_folder(path):
        if _is_saved(path):
            return _hf_datasets().open_saved(path, split, columns, limit)
        refuse_split(split, "a folder of audio")
        return FolderSource(path, columns, limit)
    if _exists(path):
        refuse_split(split, "an audio file")
        return FileSource(path, limit)
    hub = _HUB_ID.fullmatch(data) if isinstance(data, str) else None
    if hub is None or path.suffix.lower() in ENDINGS or hub["name"].startswith("."):
        raise ValueError(f"no such file or folder: {printable(data)}")
    return _hf_datasets().open_hub(hub["name"], hub["config"], split, columns, limit)


def _hf_datasets() -> ModuleType:
    """Imported where a dataset is opened: `datasets` takes half a second and 60 MB that a folder does not need."""
    from . import hf_datasets

    return hf_datasets


def _is_saved(folder: Path) -> bool:
    """Whether `datasets` wrote the folder (`save_to_disk`)."""
    return (folder / "dataset_dict.json").is_file() or (
        (folder / "dataset_info.json").is_file() and (folder / "state.json").is_file()
    )


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
