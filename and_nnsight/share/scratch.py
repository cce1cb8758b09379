"""Folders for files on their way to somewhere else: gone when they have been handed on, or with the next one."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..storage import locked

_PREFIX, _LOCK = "and-nnsight-", ".lock"
_MOMENT = 60.0  # seconds that a process has to lock the folder that it made


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A new folder where the system keeps temporary ones; on leaving it is gone.

    A process that was killed leaves its folder, which may hold a whole dissection: those that nobody holds are removed.
    """
    _remove_abandoned()
    with tempfile.TemporaryDirectory(prefix=_PREFIX) as place, locked(Path(place) / _LOCK):
        inside = Path(place) / "files"
        inside.mkdir()
        yield inside


def _remove_abandoned() -> None:
    for lock in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*/{_LOCK}"):
        try:
            if time.time() - lock.stat().st_mtime > _MOMENT:
                with locked(lock) as ours:
                    if ours.is_held:
                        shutil.rmtree(lock.parent, ignore_errors=True)
        except OSError:  # held, gone meanwhile, or another user's
            pass
