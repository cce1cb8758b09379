"""Settings that every test shares, and the repository's tiny models."""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import beartype  # noqa: F401  # before nnsight hangs a `save` on every object, over which it trips
import torch

ROOT = Path(__file__).parents[3]
sys.path.insert(0, str(ROOT))  # for tests.families and tests.brute_force
torch.set_num_threads(1)
