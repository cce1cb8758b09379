"""A tone in a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.audio.tones import RATE, TONE
from tests.damaged import encode


@pytest.fixture
def tone_file(tmp_path: Path) -> Path:
    path = tmp_path / "tone.wav"
    path.write_bytes(encode(TONE, RATE, "WAV", "FLOAT"))
    return path
