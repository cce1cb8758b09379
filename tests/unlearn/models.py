"""Small models of every family, what they give on two clips, and the clips that units are measured on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from and_nnsight import AudioModel
from tests.families import FAMILIES
from tests.sounds_for_tests import RATE, noise

# CLAP's two towers do not run as one module, so a trace has no output of it; its audio tower stands for it.
TRACED = [name for name in FAMILIES if name != "clap"]


of_torch = pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask")  # WavLM's masks


def loaded(name: str, dtype: torch.dtype | None = None) -> AudioModel:
    family = FAMILIES[name]
    module = family.build() if dtype is None else family.build().to(dtype)
    return AudioModel(module, feature_extractor=family.extractor())


def first_tensor(output: Any) -> Tensor:
    while not isinstance(output, Tensor):
        output = next(iter(output.values())) if isinstance(output, Mapping) else output[0]
    return output


def traced(model: AudioModel, site: str | None = None) -> Tensor:
    """The model's first output tensor, or a site's activation, on two clips."""
    clips = [noise(1.0, seed=1), noise(1.0, seed=2)]
    with torch.inference_mode():
        if site is None:
            with model.trace(clips):
                output = model.output.save()
            return first_tensor(output)
        with model.trace(clips):
            value = model.site(site).save()
        return value.clone()


CLIPS = [
    {"audio": noise(0.6, seed=place, level=0.02 * (1 + place % 7)), "sampling_rate": RATE, "label": f"LABEL_{label}"}
    for place, label in enumerate([0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 1, 1])
]


WIDTHS = {"blocks.0.mlp.hook_post": 64, "blocks.1.mlp.hook_pre": 64, "blocks.1.hook_mlp_out": 32}
