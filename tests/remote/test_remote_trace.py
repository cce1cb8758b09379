"""`with model.trace(audio, remote=URL):` is what it is here, and no weights are loaded for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.remote.checkpoints import save_checkpoint
from tests.remote.loopback import Loopback

SCRIPT = Path(__file__).with_name("traces.py")


@pytest.mark.slow
@pytest.mark.parametrize("family", ["ast", pytest.param("whisper-classify", marks=pytest.mark.slow)])
def test_traces_there_are_traces_here(
    family: str, loopback: Loopback, run_script: Callable[..., Any], tmp_path: Path
) -> None:
    done = run_script(SCRIPT, loopback.url, save_checkpoint(family, tmp_path / "model"))
    told = json.loads(done.stdout.splitlines()[-1])
    ways = ("by name", "by handle", "output", "stopped", "invokes", "session", "edited", "dry run", "after an error")
    assert {way: told[way] for way in ways if told[way] > 1e-5} == {}
    assert told["dispatched by the dry run"]
    assert told["weightless"] == [False, "meta"]
    shape, file, module = told["sentences"]
    assert "mat1 and mat2 shapes cannot be multiplied" in shape or "size mismatch" in shape
    assert "a server cannot read this str: give it 1-D float waveforms at" in file
    assert "a server loads a model by its name" in module
