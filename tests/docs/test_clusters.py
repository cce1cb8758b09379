"""The script for a SLURM array, without a SLURM: each task by hand, with the variables that SLURM sets."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

from and_nnsight import dissect
from and_nnsight.demo import make_sounds, tiny_ast_path
from tests.docs.pages import ROOT, blocks
from tests.run.runs import files

(SCRIPT,) = (block.code for block in blocks(ROOT / "docs" / "clusters.md") if block.code.startswith("#!/bin/bash"))


@pytest.mark.slow
def test_the_tasks_of_the_array_leave_the_files_of_one_run(tmp_path: Path) -> None:
    (tmp_path / "sounds").mkdir()
    for number, sound in enumerate(make_sounds(1)):
        soundfile.write(tmp_path / "sounds" / f"{number:02}.wav", sound.waveform, sound.sampling_rate)
    (tmp_path / "array.sh").write_text(SCRIPT, encoding="utf-8")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for task in ("1", "0", "1"):  # a task that is done may be sent again
        environment = {
            **os.environ, "PATH": path, "SLURM_ARRAY_TASK_ID": task, "SLURM_ARRAY_TASK_COUNT": "2",
            "MODEL": str(tiny_ast_path()), "OMP_NUM_THREADS": "1",
        }  # fmt: skip
        done = subprocess.run(
            ["bash", "array.sh"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    here = Path.cwd()
    os.chdir(tmp_path)
    try:
        dissect(str(tiny_ast_path()), "sounds", out="one", progress=False)
    finally:
        os.chdir(here)
    whole = {name: content for name, content in files(tmp_path / "runs" / "array").items() if "shards" not in name}
    assert b"[dissect]" in whole.pop("config.toml"), "the command keeps its options; `dissect` was called with them"
    assert whole == files(tmp_path / "one")
