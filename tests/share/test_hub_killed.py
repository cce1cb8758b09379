"""A push and a pull that are killed leave nothing half done, and the same command finishes them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from and_nnsight import Dissection
from and_nnsight.share import scratch
from and_nnsight.share.scratch import scratch_folder
from tests.share.hub_client import files
from tests.share.hub_server import Hub, running_hub
from tests.warm_python import Script, WarmPython

ROOT = Path(__file__).parents[2]
NAME = "me/neurons"
# Its temporary files are in a folder of its own, which the process that it forked from has not looked up.
BEFORE = "import tempfile; tempfile.tempdir = None"


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    with running_hub() as hub:
        yield hub


@pytest.fixture
def python(hub: Hub, tmp_path: Path) -> Iterator[WarmPython]:
    """What runs `and-nnsight` as a user of the hub."""
    (tmp_path / "temporary").mkdir()
    environment = {name: value for name, value in os.environ.items() if name not in ("HF_HUB_OFFLINE", "HF_TOKEN")} | {
        "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_XET": "1", "HF_TOKEN": "hf_writer",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path / "temporary"),
    }  # fmt: skip
    folder = tmp_path / "home"
    folder.mkdir()
    (folder / "command.py").write_text("from and_nnsight.cli import main\nmain()\n", encoding="utf-8")
    python = WarmPython(folder, environment)
    try:
        yield python
    finally:
        python.close()


def started(python: WarmPython, out: Path, *words: object) -> Script:
    """`and-nnsight WORDS`."""
    return python.start(python.folder / "command.py", *words, cwd=out, before=BEFORE)


def killed(script: Script, when: Callable[[], bool]) -> None:
    until = time.monotonic() + 120
    while not when():
        assert time.monotonic() < until, script.stderr.read_text()
        time.sleep(0.01)
    script.send_signal(signal.SIGKILL)
    assert script.wait() == -signal.SIGKILL


def finished(script: Script) -> None:
    assert script.wait() == 0, script.stderr.read_text()


@pytest.mark.slow
def test_the_same_command_finishes_what_was_killed(
    hub: Hub, python: WarmPython, in_a_folder: Dissection, tmp_path: Path
) -> None:
    words = ("push", in_a_folder.folder, NAME, "--audio", "--license", "cc-by-4.0", "--best", 6)
    hub.pause = 0.3
    killed(started(python, tmp_path, *words), lambda: len(hub.uploads) >= 2)
    assert set(hub.repositories[NAME].commits[hub.repositories[NAME].branches["main"]]) == {".gitattributes"}
    (left,) = (tmp_path / "temporary").iterdir()
    os.utime(left / ".lock", (0, 0))  # a minute later
    hub.pause = 0.0
    finished(started(python, tmp_path, *words))
    assert len(hub.uploads) == len(set(hub.uploads)) and not list((tmp_path / "temporary").iterdir())
    up = hub.repositories[NAME].commits[hub.repositories[NAME].branches["main"]]

    target, before = tmp_path / "ein Ordner – 耳", hub.downloads
    hub.pause = 0.3
    killed(started(python, tmp_path, "pull", NAME, target), lambda: hub.downloads >= before + 2)
    assert not target.exists()
    (tmp_path / f".{target.name}.0123.pull").mkdir()  # of an earlier commit
    hub.pause = 0.0
    finished(started(python, tmp_path, "pull", NAME, target))
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
