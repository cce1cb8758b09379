"""kill -9 at any moment, then the same call, gives the files of a run that nobody killed."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
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


Kills = Callable[..., Iterator[None]]


@pytest.fixture
def killed_on_the_way(start: Callable[..., Script]) -> Kills:
    """Runs, each going on from the one before, that are killed before any has come to its end.

    Each process kills itself at an operation on its files; every other one is killed before, at any moment, where the
    machine is slow enough. None gets further than a sixth of the way, so that none ends before it is killed.
    """

    def killed(turns: int, operations: int, *arguments: Path) -> Iterator[None]:
        chance = random.Random(0)
        for turn in range(turns):
            run = start(chance.randint(operations // 12, operations // 6), *arguments)
            if turn % 2:
                run.wait_for_output()
                time.sleep(chance.uniform(0, 0.3))
                run.send_signal(signal.SIGKILL)
            assert run.wait() == -signal.SIGKILL, run.stderr.read_text()
            yield

    return killed


def audio_folder(folder: Path, clips: int) -> Path:
    folder.mkdir()
    for index in range(clips):
        soundfile.write(folder / f"{index:03}.wav", noise(0.1 + 0.01 * (index % 7), seed=index), RATE)
    return folder


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.slow
@pytest.mark.parametrize("concepts", [False, True])
def test_a_run_killed_at_random_moments_ends_in_equal_files(
    concepts: bool, killed_on_the_way: Kills, finish: Callable[..., int], tmp_path: Path
) -> None:
    model, audio, out, clips = tmp_path / "model", tmp_path / "audio", tmp_path / "killed", 48
    save_ast(model)
    audio_folder(audio, clips)
    (audio / "025.wav").write_bytes(b"damaged")
    scores = [tmp_path / "scores.safetensors"] if concepts else []
    for path in scores:
        ConceptScores.from_labels({clip: f"{clip % 5}" for clip in range(clips)}).save(path)
    operations = finish(model, audio, tmp_path / "whole", *scores)

    for _ in killed_on_the_way(4, operations, model, audio, out, *scores):
        with pytest.raises(DissectionError):
            Dissection.load(out)
    assert 0 < finish(model, audio, out, *scores) < operations, "what was done is not done again"
    assert files(out) == files(tmp_path / "whole")
    found = Dissection.load(out)
    assert found.manifest.clips == clips - 1
    assert [row.clip for row in found.quarantine] == [25]


@pytest.mark.slow
def test_sounds_of_a_stream_are_all_there_after_kills_at_random_moments(
    killed_on_the_way: Kills, finish: Callable[..., int], tmp_path: Path
) -> None:
    model, audio, out = tmp_path / "model", audio_folder(tmp_path / "audio", 36), tmp_path / "killed"
    save_ast(model)
    operations = finish(model, audio, tmp_path / "whole", Path("exemplars"))
    assert len(list(killed_on_the_way(5, operations, model, audio, out, Path("exemplars")))) == 5
    finish(model, audio, out, Path("exemplars"))
    whole, killed = files(tmp_path / "whole"), files(out)
    assert whole.keys() == killed.keys()
    curves = [name for name in whole if name.startswith("exemplars/curves")]
    assert all(whole[name] == killed[name] for name in whole if name not in curves)
    one, other = (Dissection.load(folder).exemplars() for folder in (tmp_path / "whole", out))
    assert len(curves) > 10 and set(one.curves) == set(other.curves)
    for key in one.curves:
        assert np.allclose(one.curve(*key).activation, other.curve(*key).activation, atol=1e-5)
