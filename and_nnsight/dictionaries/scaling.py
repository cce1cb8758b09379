"""How a dictionary scales a frame before it encodes it, and a change back to the site's own scale."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from .errors import DictionaryError

_LAYER_NORM_EPSILON = 1e-5
SCALINGS = ("none", "layer_norm", "constant_norm_rescale")


class Scaled(NamedTuple):
    """Frames as a dictionary encodes them, and what its directions are multiplied by to be the site's again."""

    frames: Float[Tensor, "frame width"]
    back: Float[Tensor, "frame 1"]


def known_scaling(name: str) -> str:
    """The name of a scaling. Raises DictionaryError for another."""
    if name in SCALINGS:
        return name
    raise DictionaryError(
        f"its activations are scaled by {name!r}, whose numbers are not in its files: fold them into the weights with "
        "the library that trained it, and save it again"
    )


def scaled(frames: Float[Tensor, "frame width"], scaling: str) -> Scaled:
    """Frames under a scaling: none; each frame to mean 0 and standard deviation 1; or to the norm √width."""
    if scaling == "layer_norm":
        centred = frames - frames.mean(-1, keepdim=True)
        deviation = centred.std(-1, keepdim=True)
        return Scaled(centred / (deviation + _LAYER_NORM_EPSILON), deviation)
    if scaling == "constant_norm_rescale":
        factor = frames.shape[-1] ** 0.5 / frames.norm(dim=-1, keepdim=True)
        return Scaled(frames * factor, 1 / factor)
    return Scaled(frames, torch.ones_like(frames[..., :1]))
