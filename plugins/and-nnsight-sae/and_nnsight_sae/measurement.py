"""How well a saved dictionary does on frames: measured on raw activations, with SAELens's own encode and decode."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32
from sae_lens.saes.sae import SAE

_VALUES = 2**24  # of latents at a time
_MOST = 2**17


@dataclass(frozen=True)
class Quality:
    """A dictionary on some frames.

    explained_variance  1 - the squared error over the squared distance from the frames' own mean, all units together
    l0                  latents that are active in a frame, on average
    dead                share of the latents that are active in none of the frames
    frames, clips       how many these are; of very many frames, evenly spaced ones are measured
    """

    explained_variance: float
    l0: float
    dead: float
    frames: int
    clips: int

    def to_json(self) -> dict[str, Any]:
        """By name."""
        return asdict(self)


@torch.no_grad()
def measure(folder: Path, frames: Float32[np.ndarray, "frame width"], clips: int, device: str) -> Quality:
    """The dictionary in a folder on raw frames of so many clips."""
    frames = frames[:: -(-len(frames) // _MOST)]
    sae = SAE.load_from_disk(folder, device=device)
    rows = max(1, _VALUES // sae.cfg.d_sae)
    mean = sum(part.double().sum(0) for part in _parts(frames, rows)) / len(frames)
    error, variance, active = 0.0, 0.0, 0
    fired = torch.zeros(sae.cfg.d_sae, dtype=torch.bool, device=device)
    for part in _parts(frames, rows):
        here = part.to(device)
        latents = sae.encode(here)
        error += float((here - sae.decode(latents)).double().square().sum())
        variance += float((part.double() - mean).square().sum())
        active += int((latents > 0).sum())
        fired |= (latents > 0).any(0)
    return Quality(
        explained_variance=1 - error / variance if variance > 0 else float("nan"),
        l0=active / len(frames),
        dead=1 - float(fired.float().mean()),
        frames=len(frames),
        clips=clips,
    )


def _parts(frames: Float32[np.ndarray, "frame width"], rows: int) -> Iterator[torch.Tensor]:
    for start in range(0, len(frames), rows):
        yield torch.from_numpy(np.array(frames[start : start + rows]))
