"""How a pass over a dataset is run, as one value: what the public calls take as `device`, `batch_size` and so on."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ..data.workers import TaskMap


@dataclass(frozen=True)
class RunOptions:
    """Where a model runs and in which dtype, clips a batch, worker processes (or others), whether a bar is shown."""

    device: str | torch.device | None = None
    dtype: str | torch.dtype | None = None
    batch_size: int = 8
    num_workers: int | TaskMap = 0
    progress: bool = True
