"""A push and a pull that are killed leave nothing half done, and the same command finishes them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from and_nnsight import Dissection
from and_nnsight.share import scratch
from and_nnsight.share.scratch import scratch_folder
from tests.share.hub_client import files
from tests.share.hub_server import Hub, running_hub

ROOT = Path(__file__).parents[2]
NAME = "me/neurons"


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    with running_hub() as hub:
        yield hub


def started(hub: Hub, out: Path, *words: object) -> subprocess.Popen[str]:
    """`and-nnsight WORDS`, whose temporary files are in a folder of its own."""
    (out / "temporary").mkdir(exist_ok=True)
    environment = {name: value for name, value in os.environ.items() if name not in ("HF_HUB_OFFLINE", "HF_TOKEN")} | {
        "HF_ENDPOINT": hub.url, "HF_HOME": str(out / "home"), "HF_HUB_DISABLE_XET": "1", "HF_TOKEN": "hf_writer",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(ROOT), "TMPDIR": str(out / "temporary"),
    }  # fmt: skip
    command = [sys.executable, "-m", "and_nnsight", *map(str, words)]
    return subprocess.Popen(
        command, cwd=out, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def killed(process: subprocess.Popen[str], when: Callable[[], bool]) -> None:
    until = time.monotonic() + 120
    while not when():
        assert process.poll() is None and time.monotonic() < until, process.communicate()
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL


def finished(process: subprocess.Popen[str]) -> None:
    _, error = process.communicate()
    assert process.returncode == 0, error


@pytest.mark.slow
def test_the_same_command_finishes_what_was_killed(hub: Hub, in_a_folder: Dissection, tmp_path: Path) -> None:
    words = ("push", in_a_folder.folder, NAME, "--audio", "--license", "cc-by-4.0", "--best", 6)
    hub.pause = 0.3
    killed(started(hub, tmp_path, *words), lambda: len(hub.uploads) >= 2)
    assert set(hub.repositories[NAME].commits[hub.repositories[NAME].branches["main"]]) == {".gitattributes"}
    (left,) = (tmp_path / "temporary").iterdir()
    os.utime(left / ".lock", (0, 0))  # a minute later
    hub.pause = 0.0
    finished(started(hub, tmp_path, *words))
    assert len(hub.uploads) == len(set(hub.uploads)) and not list((tmp_path / "temporary").iterdir())
    up = hub.repositories[NAME].commits[hub.repositories[NAME].branches["main"]]

    target, before = tmp_path / "ein Ordner – 耳", hub.downloads
    hub.pause = 0.3
    killed(started(hub, tmp_path, "pull", NAME, target), lambda: hub.downloads >= before + 2)
    assert not target.exists()
    (tmp_path / f".{target.name}.0123.pull").mkdir()  # of an earlier commit
    hub.pause = 0.0
    finished(started(hub, tmp_path, "pull", NAME, target))
    inside = {name.removeprefix("dissection/"): key for name, key in up.items() if name.startswith("dissection/")}
    assert files(target) == inside
    assert {path.name for path in tmp_path.iterdir()} - {"home"} == {"temporary", target.name}


def test_a_folder_that_nobody_holds_goes_with_the_next_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(scratch, "_MOMENT", -1.0)
    abandoned, others = tmp_path / "and-nnsight-0", tmp_path / "somebody-else"
    for folder in (abandoned, others):
        (folder / "files").mkdir(parents=True)
        (folder / ".lock").touch()
    with scratch_folder() as held:
        (held / "file").touch()
        assert not abandoned.exists() and others.exists()
        with scratch_folder() as another:
            assert another.is_dir() and (held / "file").exists(), "the one that is held stays"
    assert [path.name for path in tmp_path.iterdir()] == ["somebody-else"]
