"""CI runs README's two commands as they stand. (What else it shows runs in tests/docs.)"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(("name", "ends"), [("demo", "demo --out runs/demo"), ("tests", "pytest -n 2")])
def test_the_commands_that_ci_runs_are_there(name: str, ends: str) -> None:
    script = ROOT / ".ci" / "readme.py"
    command = subprocess.run([sys.executable, str(script), name], capture_output=True, text=True, check=True).stdout
    assert command.startswith("python3 -m venv .venv && .venv/bin/python -m pip install ")
    assert command.strip().endswith(ends)
