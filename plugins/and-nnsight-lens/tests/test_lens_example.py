"""The worked example runs as it stands, offline, and prints what it says it prints."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[1] / "examples" / "ast_on_the_bridge.py"


@pytest.mark.slow
def test_the_example_runs() -> None:
    done = subprocess.run(
        [sys.executable, str(EXAMPLE)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        timeout=1200,
    )
    assert done.returncode == 0, done.stderr
    assert "rising sweep: heard as rising sweep" in done.stdout
    assert "they add up to the logits" in done.stdout
    assert "its eight highest:" in done.stdout
    assert "restored by patching" in done.stdout
    assert "without a head it grows by" in done.stdout
    assert "without neuron" in done.stdout
