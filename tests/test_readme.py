"""Everything that the README shows runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"
BLOCKS = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)


def test_there_is_an_example() -> None:
    assert BLOCKS


@pytest.mark.slow
def test_the_python_examples_run_in_order_and_offline(tmp_path: Path) -> None:
    # One file: later examples go on from earlier ones, and nnsight reads a trace's source from disk.
    script = tmp_path / "readme.py"
    script.write_text("\n".join(BLOCKS), encoding="utf-8")
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_commands_that_ci_runs_are_there() -> None:
    for name in ("demo", "tests"):
        script = Path(__file__).parents[1] / ".ci" / "readme.py"
        command = subprocess.run([sys.executable, str(script), name], capture_output=True, text=True, check=True).stdout
        assert "pip install" in command
