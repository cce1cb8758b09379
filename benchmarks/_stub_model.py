"""A model that costs next to nothing, and clips to go with it: what is left is what a run does beside its model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from and_nnsight.model.adapter import ModelAdapter, OnActivation
from and_nnsight.model.features import Features, Featuriser
from and_nnsight.sites.geometry import Regular
from and_nnsight.sites.site import Site

RATE, SAMPLES, BANK = 16_000, 160, 1 << 20


class Clips:
    """So many clips of a hundredth of a second, made on demand, each a stretch of noise of its own."""

    def __init__(self, clips: int) -> None:
        self.clips = clips
        self._bank = np.random.default_rng(0).standard_normal(BANK + SAMPLES, dtype=np.float32) * 0.1

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """The clips, from the first on."""
        for clip in range(self.clips):
            start = (clip * 7_919) % BANK
            array = self._bank[start : start + SAMPLES]
            yield {"array": array, "sampling_rate": RATE, "path": f"clips/{clip:07}.wav", "label": f"class {clip % 50}"}


class AsTheyAre:
    """A feature extractor that hands waveforms on."""

    sampling_rate, n_samples = RATE, SAMPLES

    def __call__(self, waveforms: Sequence[np.ndarray], **options: Any) -> dict[str, Tensor]:
        """The waveforms, side by side."""
        return {"input_values": torch.from_numpy(np.stack(waveforms))}

    def to_dict(self) -> dict[str, Any]:
        """What tells it from others."""
        return {"n_samples": self.n_samples}


class StubModel(ModelAdapter):
    """One site of so many units: each a sum of a few samples of a clip, at two frames."""

    name = "stub"

    def __init__(self, units: int) -> None:
        self._module = nn.Linear(8, units, bias=False)
        torch.manual_seed(0)
        nn.init.normal_(self._module.weight)
        self._featuriser = Featuriser(AsTheyAre(), RATE, SAMPLES, SAMPLES)
        frames = Regular(hop=SAMPLES / RATE / 2, span=SAMPLES / RATE / 2)
        self._sites = (Site("blocks.0.mlp.hook_post", "weight", "output", units, 0, frames),)

    @property
    def wrapped(self) -> nn.Module:
        """The weights."""
        return self._module

    @property
    def featuriser(self) -> Featuriser:
        """Waveforms as they are."""
        return self._featuriser

    def sites(self, *patterns: str) -> tuple[Site, ...]:
        """The one site, whatever is asked for."""
        return self._sites

    def run(self, sites: Sequence[Site], features: Features, on_activation: OnActivation) -> None:
        """Hand over the activations."""
        with torch.inference_mode():
            heard = features["input_values"][:, :16].unflatten(1, (2, 8))
            on_activation(self._sites[0], self._module(heard))
