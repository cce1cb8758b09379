"""kill -9 at any moment, then the same call, gives the files of a run that nobody killed."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import soundfile

from and_nnsight import ConceptScores, Dissection
from tests.families import FAMILIES, ast_extractor
from tests.sounds_for_tests import RATE, noise

SCRIPT = Path(__file__).with_name("killed_run.py")


def start(*arguments: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-W", "ignore", str(SCRIPT), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def finish(process: subprocess.Popen[bytes]) -> None:
    _, error = process.communicate()
    assert process.returncode == 0, error.decode()


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.slow
@pytest.mark.parametrize(("clips", "concepts"), [(300, False), (300, True)])
def test_a_run_killed_at_random_moments_ends_in_equal_files(clips: int, concepts: bool, tmp_path: Path) -> None:
    model, audio = tmp_path / "model", tmp_path / "audio"
    FAMILIES["ast"].build().save_pretrained(model)  # type: ignore[operator]
    ast_extractor().save_pretrained(model)
    audio.mkdir()
    for index in range(clips):
        soundfile.write(audio / f"{index:03}.wav", noise(0.1 + 0.01 * (index % 7), seed=index), RATE)
    (audio / "050.wav").write_bytes(b"damaged")
    scores = [tmp_path / "scores.safetensors"] if concepts else []
    for path in scores:
        ConceptScores.from_labels({clip: f"{clip % 5}" for clip in range(clips)}).save(path)
    finish(start(model, audio, tmp_path / "whole", *scores))

    chance = random.Random(0)
    out, landed = tmp_path / "killed", 0
    for _ in range(12):
        process = start(model, audio, out, *scores)
        state = out / "progress" / "state.safetensors"
        before = state.stat().st_mtime_ns if state.exists() else None
        while process.poll() is None and (not state.exists() or state.stat().st_mtime_ns == before):
            time.sleep(0.002)  # wait for a checkpoint of this process, or for its end
        time.sleep(chance.uniform(0, 0.3))  # short against the run, so that several kills land in it
        finished = process.poll() is not None
        process.send_signal(signal.SIGKILL)
        process.communicate()
        if finished:
            break
        landed += 1
        if landed == 4:
            break
    assert landed >= 2, "the machine is so fast that nothing was killed: give it more clips"
    finish(start(model, audio, out, *scores))
    assert files(out) == files(tmp_path / "whole")
    found = Dissection.load(out)
    assert found.manifest["clips"] == clips - 1
    assert [row["clip"] for row in found.quarantine] == [50]
