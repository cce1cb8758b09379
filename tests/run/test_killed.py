"""kill -9 at any moment, then the same call, gives the files of a run that nobody killed."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile

from and_nnsight import ConceptScores, Dissection, DissectionError
from tests.families import save_ast
from tests.sounds_for_tests import RATE, noise
from tests.warm_python import Script, WarmPython

SCRIPT = Path(__file__).with_name("killed_run.py")


@pytest.fixture
def start(warm_python: WarmPython) -> Callable[..., Script]:
    """A run that kills itself at an operation on its files; 0: at none."""

    def started(operation: int, model: Path, audio: Path, out: Path, *scores: Path) -> Script:
        return warm_python.start(SCRIPT, model, audio, out, operation, *scores)

    return started


@pytest.fixture
def finish(start: Callable[..., Script]) -> Callable[..., int]:
    """How many operations on its files a run needs that nobody kills."""

    def finished(*arguments: Path) -> int:
        run = start(0, *arguments)
        assert run.wait() == 0, run.stderr.read_text()
        return int(run.stdout.read_text().split()[-1])

    return finished


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.slow
@pytest.mark.parametrize("concepts", [False, True])
def test_a_run_killed_at_random_moments_ends_in_equal_files(
    concepts: bool, start: Callable[..., Script], finish: Callable[..., int], tmp_path: Path
) -> None:
    model, audio, out, clips = tmp_path / "model", tmp_path / "audio", tmp_path / "killed", 90
    save_ast(model)
    audio.mkdir()
    for index in range(clips):
        soundfile.write(audio / f"{index:03}.wav", noise(0.1 + 0.01 * (index % 7), seed=index), RATE)
    (audio / "050.wav").write_bytes(b"damaged")
    scores = [tmp_path / "scores.safetensors"] if concepts else []
    for path in scores:
        ConceptScores.from_labels({clip: f"{clip % 5}" for clip in range(clips)}).save(path)
    operations = finish(model, audio, tmp_path / "whole", *scores)

    # Each process kills itself at an operation on its files; every other one is killed before, at any moment, where the
    # machine is slow enough. None gets further than a sixth of the way, so that none ends before it is killed.
    chance = random.Random(0)
    for turn in range(4):
        run = start(chance.randint(operations // 12, operations // 6), model, audio, out, *scores)
        if turn % 2:
            run.wait_for_output()
            time.sleep(chance.uniform(0, 0.3))
            run.send_signal(signal.SIGKILL)
        assert run.wait() == -signal.SIGKILL, run.stderr.read_text()
        with pytest.raises(DissectionError):
            Dissection.load(out)
    assert 0 < finish(model, audio, out, *scores) < operations, "what was done is not done again"
    assert files(out) == files(tmp_path / "whole")
    found = Dissection.load(out)
    assert found.manifest.clips == clips - 1
    assert [row.clip for row in found.quarantine] == [50]
