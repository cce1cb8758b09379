"""A folder that an export may fill."""

from __future__ import annotations

from pathlib import Path


def refuse_files(folder: Path) -> None:
    """Raise FileExistsError where there are files: what another export left would be read together with this one."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"{folder} holds files: choose a new folder, or empty it")
