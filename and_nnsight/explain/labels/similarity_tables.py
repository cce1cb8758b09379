"""What every similarity takes and gives: tables of clips by units, by concepts, and of units by concepts."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

Activations = Float[Tensor, "clip unit"]
Scores = Float[Tensor, "clip concept"]
Similarity = Float[Tensor, "unit concept"]


def check_scores(scores: Tensor) -> None:
    """Raise ValueError for scores that are not finite."""
    if not bool(scores.isfinite().all()):
        raise ValueError("some scores of clips for concepts are not finite: leave such clips out")


def result_dtype(tensor: Tensor) -> torch.dtype:
    """The dtype in which similarities are given: float32 at least."""
    return torch.promote_types(tensor.dtype, torch.float32)
