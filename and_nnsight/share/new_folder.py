"""A folder that an export may fill."""

from __future__ import annotations

from pathlib import Path

from ..dissection.errors import DissectionError


def refuse_files(folder: Path) -> None:
    """Raise DissectionError where something is there: it would be taken for a part of this export."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DissectionError(f"{folder} is there and not empty: choose another folder, or remove it")
