"""kill -9 at any moment, then the same call, gives the files of a run that nobody killed."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from and_nnsight import ConceptScores, Dissection, DissectionError
from tests.families import FAMILIES, ast_extractor
from tests.sounds_for_tests import RATE, noise

SCRIPT = Path(__file__).with_name("killed_run.py")


def start(operation: int, *arguments: Path) -> subprocess.Popen[str]:
    """A run that kills itself at an operation on its files; 0: at none."""
    model, audio, out, *scores = map(str, arguments)
    command = [sys.executable, "-W", "ignore", str(SCRIPT), model, audio, out, str(operation), *scores]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(*arguments: Path) -> int:
    """How many operations on its files a run needs that nobody kills."""
    process = start(0, *arguments)
    said, error = process.communicate()
    assert process.returncode == 0, error
    return int(said.split()[-1])


def audio_folder(folder: Path, clips: int) -> Path:
    folder.mkdir()
    for index in range(clips):
        soundfile.write(folder / f"{index:03}.wav", noise(0.1 + 0.01 * (index % 7), seed=index), RATE)
    return folder


def killed_on_the_way(arguments: tuple[Path, ...], operations: int, turns: int) -> Iterator[None]:
    """Runs, each going on from the one before, that are killed before any has come to its end.

    Each process kills itself at an operation on its files; every other one is killed before, at any moment, where the
    machine is slow enough. None gets further than a sixth of the way, so that none ends before it is killed.
    """
    chance = random.Random(0)
    for turn in range(turns):
        process = start(chance.randint(operations // 12, operations // 6), *arguments)
        assert process.stdout is not None
        if turn % 2 and process.stdout.readline():
            time.sleep(chance.uniform(0, 0.3))
            process.send_signal(signal.SIGKILL)
        _, error = process.communicate()
        assert process.returncode == -signal.SIGKILL, error
        yield


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.slow
@pytest.mark.parametrize("concepts", [False, True])
def test_a_run_killed_at_random_moments_ends_in_equal_files(concepts: bool, tmp_path: Path) -> None:
    model, audio, out, clips = tmp_path / "model", tmp_path / "audio", tmp_path / "killed", 150
    FAMILIES["ast"].build().save_pretrained(model)  # type: ignore[operator]
    ast_extractor().save_pretrained(model)
    audio_folder(audio, clips)
    (audio / "050.wav").write_bytes(b"damaged")
    scores = [tmp_path / "scores.safetensors"] if concepts else []
    for path in scores:
        ConceptScores.from_labels({clip: f"{clip % 5}" for clip in range(clips)}).save(path)
    operations = finish(model, audio, tmp_path / "whole", *scores)

    for _ in killed_on_the_way((model, audio, out, *scores), operations, 4):
        with pytest.raises(DissectionError):
            Dissection.load(out)
    assert 0 < finish(model, audio, out, *scores) < operations, "what was done is not done again"
    assert files(out) == files(tmp_path / "whole")
    found = Dissection.load(out)
    assert found.manifest.clips == clips - 1
    assert [row.clip for row in found.quarantine] == [50]


@pytest.mark.slow
def test_sounds_of_a_stream_are_all_there_after_kills_at_random_moments(tmp_path: Path) -> None:
    model, audio, out = tmp_path / "model", audio_folder(tmp_path / "audio", 60), tmp_path / "killed"
    FAMILIES["ast"].build().save_pretrained(model)  # type: ignore[operator]
    ast_extractor().save_pretrained(model)
    operations = finish(model, audio, tmp_path / "whole", Path("exemplars"))
    assert len(list(killed_on_the_way((model, audio, out, Path("exemplars")), operations, 5))) == 5
    finish(model, audio, out, Path("exemplars"))
    whole, killed = files(tmp_path / "whole"), files(out)
    assert whole.keys() == killed.keys()
    curves = [name for name in whole if name.startswith("exemplars/curves")]
    assert all(whole[name] == killed[name] for name in whole if name not in curves)
    one, other = (Dissection.load(folder).exemplars() for folder in (tmp_path / "whole", out))
    assert len(curves) > 10 and set(one.curves) == set(other.curves)
    for key in one.curves:
        assert np.allclose(one.curve(*key).activation, other.curve(*key).activation, atol=1e-5)
