"""The README's example runs as it stands, and its commands have the options that it shows."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TEXT = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def test_the_example_of_the_readme_runs(sounds: Path, tmp_path: Path) -> None:
    (code,) = re.findall(r"<!-- example -->\n```python\n(.*?)```", TEXT, re.DOTALL)
    shutil.copytree(sounds, tmp_path / "sounds")
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        capture_output=True, text=True, check=False, cwd=tmp_path, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    shown = done.stdout.splitlines()
    assert shown[0] == "blocks.1.hook_resid_post|sae:saes/block-1"
    assert re.fullmatch(r"held out   \d\d\.\d% of the variance explained, [1-8]\.\d latents a frame, .*", shown[1])
    assert "Dissection('" in done.stdout and "128" in done.stdout


def test_options_that_the_readme_names_are_there(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from and_nnsight.cli import main

    monkeypatch.setattr(sys, "argv", ["and-nnsight", "train-sae", "--help"])
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit):
        main()
    named = set(re.findall(r"`(--[a-z-]+)", TEXT)) | {"--site", "--width", "--out"}
    assert named <= set(re.findall(r"--[a-z][\w-]*", capsys.readouterr().out))
