"""The script for a SLURM array, without a SLURM: each task by hand, with the variables that SLURM sets."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import soundfile

from and_nnsight import dissect
from and_nnsight.demo import CLASSES, make_sounds, tiny_ast_path
from tests.docs.pages import ROOT, blocks
from tests.run.runs import files
from tests.warm_python import WarmPython

# What the script finds as `and-nnsight`: says what it was called with, each word on a line.
COMMAND = "#!/bin/sh\nprintf '%s\\n' \"$@\"\n"
(SCRIPT,) = (block.code for block in blocks(ROOT / "docs" / "clusters.md") if block.code.startswith("#!/bin/bash"))


@pytest.mark.slow
def test_the_tasks_of_the_array_leave_the_files_of_one_run(warm_python: WarmPython, tmp_path: Path) -> None:
    (tmp_path / "sounds").mkdir()
    for number, sound in enumerate(make_sounds(1, classes=CLASSES[:12])):
        soundfile.write(tmp_path / "sounds" / f"{number:02}.wav", sound.waveform, sound.sampling_rate)
    (tmp_path / "array.sh").write_text(SCRIPT, encoding="utf-8")
    (tmp_path / "and-nnsight").write_text(COMMAND, encoding="utf-8")
    (tmp_path / "and-nnsight").chmod(0o755)
    (tmp_path / "command.py").write_text("from and_nnsight.cli import main\nmain()\n", encoding="utf-8")
    for task in ("1", "0", "1"):  # a task that is done may be sent again
        environment = {
            **os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "SLURM_ARRAY_TASK_ID": task, "SLURM_ARRAY_TASK_COUNT": "2",
            "MODEL": str(tiny_ast_path()),
        }  # fmt: skip
        done = subprocess.run(
            ["bash", "array.sh"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        warm_python.run(tmp_path / "command.py", *done.stdout.splitlines(), cwd=tmp_path)
    here = Path.cwd()
    os.chdir(tmp_path)
    try:
        dissect(str(tiny_ast_path()), "sounds", out="one", progress=False)
    finally:
        os.chdir(here)
    whole = {name: content for name, content in files(tmp_path / "runs" / "array").items() if "shards" not in name}
    assert b"[dissect]" in whole.pop("config.toml"), "the command keeps its options; `dissect` was called with them"
    assert whole == files(tmp_path / "one")
