"""torchaudio's compiled half belongs to one build of torch: with another, whoever installed them is told what to do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BROKEN = {
    "a CPU torch beside a CUDA torchaudio": "raise OSError('Could not load this library: /x/_torchaudio.abi3.so')",
    "another CUDA": "raise RuntimeError('Detected that PyTorch and TorchAudio were compiled with different CUDA versions.')",
}


@pytest.mark.slow
@pytest.mark.parametrize("line", BROKEN.values(), ids=list(BROKEN))
def test_a_torchaudio_that_does_not_load_is_said_in_a_sentence(tmp_path: Path, line: str) -> None:
    (tmp_path / "torchaudio").mkdir()
    (tmp_path / "torchaudio" / "__init__.py").write_text(line, encoding="utf-8")
    here = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import and_nnsight.audio.resampling"
    ended = subprocess.run([sys.executable, "-c", here], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "torchaudio does not load beside this torch" in ended.stderr.splitlines()[-1]
    assert "install builds of the two that belong together" in ended.stderr
