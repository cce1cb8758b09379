"""Numbers of a dissection are read as numpy's arrays, and given as torch's tensors where those are asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

if TYPE_CHECKING:
    import torch

ArrayT = TypeVar("ArrayT", bound=Any)
"""numpy's `ndarray` or torch's `Tensor`."""


def as_tensor(array: np.ndarray) -> torch.Tensor:
    """An array as a tensor on the CPU that shares its memory. Imports torch."""
    import torch

    return torch.from_numpy(array)
