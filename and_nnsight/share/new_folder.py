"""A folder that an export may fill, and that is there only when it is whole."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..dissection.dissection import Dissection
from ..dissection.errors import DissectionError
from ..storage import make_folder


def refuse_files(folder: Path, dissection: Dissection | None = None) -> None:
    """Raise DissectionError where something is there, or the folder lies within the dissection that is exported.

    What is there would be taken for a part of the export, and an export within the dissection for a part of that.
    """
    if dissection is not None and folder.resolve().is_relative_to(dissection.folder.resolve()):
        raise DissectionError(f"{folder} is in the dissection's own folder {dissection.folder}: choose one outside it")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DissectionError(f"{folder} is there and not empty: choose another folder, or remove it")


@contextmanager
def filled_whole(folder: Path) -> Iterator[Path]:
    """A folder beside it to write to, under a hidden name; on leaving without an error it is `folder`, else gone.

    What an export left that was killed is put away first. Raises DissectionError where there can be no such folder.
    """
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    make_folder(partial, DissectionError)
    try:
        yield partial
        if folder.exists():
            folder.rmdir()  # empty: see `refuse_files`
        partial.replace(folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
