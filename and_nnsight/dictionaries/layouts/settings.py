"""What the layouts share: entries of settings that are checked, and decoder norms."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import DictionaryError

_ROWS = 4096


def positive(settings: Mapping[str, Any], name: str, path: Path) -> int:
    """A whole number of at least 1. Raises DictionaryError, naming file and entry, for anything else."""
    value = settings.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise DictionaryError(f"{name!r} in {path} is {value!r}, and it should be a whole number of at least 1")
    return value


def unknown(architecture: object, path: Path, known: str) -> DictionaryError:
    """The error for an architecture that is not known."""
    return DictionaryError(
        f"{path} is of the architecture {architecture!r}, which is not known here; known are {known}"
    )


def row_norms(directions: Float[Tensor, "latent width"]) -> Float[Tensor, " latent"]:
    """The length of each direction, float32; a few rows at a time, so that no copy of all is made."""
    return torch.cat([rows.float().norm(dim=1) for rows in directions.split(_ROWS)])
