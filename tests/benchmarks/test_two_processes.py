"""Two processes against one: what is compared, and that a difference is seen."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmarks.two_processes import ONE, Setting, different_files, seconds


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def test_files_that_differ_or_are_lacking_are_named_and_shards_are_aside(tmp_path: Path) -> None:
    one = write(tmp_path / "one", {"same": b"a", "sites/other": b"a", "lacking": b"a"})
    two = write(tmp_path / "two", {"same": b"a", "sites/other": b"b", "shards/0-of-2/same": b"c"})
    assert different_files(one, two) == ["lacking", "sites/other"]


def test_a_command_that_fails_is_no_measurement(tmp_path: Path) -> None:
    command = (ONE[0], "-c", "raise SystemExit('it has no such model')")
    with pytest.raises(RuntimeError, match="failed:\nit has no such model"):
        seconds(command, os.sched_getaffinity(0), Setting("no-model", str(tmp_path), 1), 1, tmp_path / "out")
