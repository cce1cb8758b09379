"""The fused kernels on the device at hand: a GPU, or Triton's interpreter on the CPU (`tests/conftest.py`)."""

from __future__ import annotations

import importlib.util

import pytest
import torch
from hypothesis import settings

from tests.oracle import HUNT

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
DTYPES = (torch.float32, torch.bfloat16, torch.float16)

needs_triton = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="Triton is not installed: it comes with torch for Linux"
)
needs_gpu = pytest.mark.skipif(DEVICE.type != "cuda", reason="Triton's interpreter takes long for it")
# The interpreter multiplies infinity by zero in numpy, which says so; before Triton 3.7 it takes arrays for numbers.
interpreted = pytest.mark.filterwarnings(
    "ignore:invalid value encountered:RuntimeWarning",
    "ignore:Conversion of an array with ndim > 0 to a scalar:DeprecationWarning",
)
few_examples = settings(
    max_examples=int(HUNT or (25 if DEVICE.type == "cuda" else 15)), derandomize=HUNT is None, deadline=None
)
