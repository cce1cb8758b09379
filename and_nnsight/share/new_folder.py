"""A folder that an export may fill."""

from __future__ import annotations

from pathlib import Path

from ..dissection.dissection import Dissection
from ..dissection.errors import DissectionError


def refuse_files(folder: Path, dissection: Dissection | None = None) -> None:
    """Raise DissectionError where something is there, or the folder lies within the dissection that is exported.

    What is there would be taken for a part of the export, and an export within the dissection for a part of that.
    """
    if dissection is not None and folder.resolve().is_relative_to(dissection.folder.resolve()):
        raise DissectionError(f"{folder} is in the dissection's own folder {dissection.folder}: choose one outside it")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DissectionError(f"{folder} is there and not empty: choose another folder, or remove it")
