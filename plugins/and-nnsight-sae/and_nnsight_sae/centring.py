"""Frames are centred and scaled before they are trained on; the saved weights take them as they are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32, Float64
from sae_lens.training.activation_scaler import ActivationWhitening
from torch import Tensor

_ROWS = 2**14


@dataclass(frozen=True, eq=False)
class Centring:
    """(frame - mean) x scale: frames about the origin, of a norm that is √width on average.

    A transformer's residual stream lies far from the origin (of Whisper tiny's norm nine tenths are its mean): as it
    is, nearly all latents die of learning that mean. SAELens takes this as a whitening whose matrix is diagonal, and
    folds it into the weights that it saves.

    mean   [width]
    scale  one for all units, so that directions and the variance that is explained stay what they are
    """

    mean: Float64[Tensor, " width"]
    scale: float

    @classmethod
    def of(cls, frames: Float32[np.ndarray, "frame width"]) -> Centring:
        """Of all frames, a few at a time."""
        total = torch.zeros(frames.shape[1], dtype=torch.float64)
        for part in _parts(frames):
            total += part.sum(0)
        mean = total / len(frames)
        norms = sum(float((part - mean).norm(dim=1).sum()) for part in _parts(frames)) / len(frames)
        return cls(mean, frames.shape[1] ** 0.5 / norms if norms > 0 else 1.0)

    def whitening(self) -> ActivationWhitening:
        """What SAELens's trainer applies to every batch, and folds into the weights in the end."""
        eye = torch.eye(len(self.mean), dtype=torch.float64)
        return ActivationWhitening(self.mean, eye * self.scale, eye / self.scale)


def _parts(frames: Float32[np.ndarray, "frame width"]) -> Iterator[Tensor]:
    for start in range(0, len(frames), _ROWS):
        yield torch.from_numpy(np.array(frames[start : start + _ROWS], np.float64))
