"""Real Whisper weights against brute force: ids and frames identical, values within 1e-5, all sites at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from and_nnsight import AudioModel, dissect
from and_nnsight.audio.loading import to_waveform
from and_nnsight.demo import CLASSES, make_sounds
from tests.brute_force import assert_equal_to_brute_force, pooled_clips
from tests.real_whisper import SHARED, real_whisper

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def whisper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return real_whisper(tmp_path_factory)


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> dict[int, np.ndarray]:
    """A few recorded sounds, where their Debian packages are installed; generated ones elsewhere."""
    folder = tmp_path_factory.mktemp("sounds")
    script = SHARED / "data" / "real_sounds.py"
    command = [sys.executable, str(script), str(folder), "--per-class", "1"]
    if script.exists() and subprocess.run(command, capture_output=True, check=False).returncode == 0:
        paths = sorted(folder.rglob("*.wav"))[::6]
        return {index: to_waveform(path, 16_000) for index, path in enumerate(paths)}
    return {index: sound.waveform for index, sound in enumerate(make_sounds(1, classes=CLASSES[::3]))}


def test_real_weights_equal_brute_force(whisper: Path, sounds: dict[int, np.ndarray], tmp_path: Path) -> None:
    model = AudioModel(str(whisper))
    found = dissect(model, list(sounds.values()), "all", 4, out=tmp_path / "run", batch_size=3, progress=False)
    assert sum(found.widths().values()) == 4 * (384 + 384 + 1536 + 1536 + 384 + 384)
    sites = model.sites()
    assert_equal_to_brute_force(found, sites, pooled_clips(model, sites, sounds), tolerance=1e-5)
