from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kernels.triton.fused import needs_triton

SCRIPT = Path(__file__).with_name("compile_for_hopper.py")


def compiler_tools() -> bool:
    """Whether Triton came with NVIDIA's tools, as it does in torch's builds for Linux."""
    triton = importlib.util.find_spec("triton")
    folder = Path(str(triton.origin)).parent / "backends" / "nvidia" / "bin" if triton is not None else Path()
    return (folder / "cuobjdump").exists()


@needs_triton
@pytest.mark.slow
@pytest.mark.skipif(not compiler_tools(), reason="Triton came without NVIDIA's ptxas and cuobjdump")
def test_every_fused_kernel_compiles_for_hopper_within_registers():
    """Registers bound how much of a multiprocessor is busy; local memory would be traffic of its own."""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    done = subprocess.run([sys.executable, SCRIPT], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    used = json.loads(done.stdout)
    assert len(used) == 5
    for kernel, resources in used.items():
        assert resources["REG"] <= (80 if kernel.startswith("pooling") else 168), kernel
        assert resources["STACK"] == resources["LOCAL"] == 0, kernel
