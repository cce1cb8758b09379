"""The frames of blocks that shorten the time axis as they go: each of several that went into the first block."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..sites.blocks import find_blocks
from ..sites.geometry import Geometry, Measured, Unplaced
from ..sites.hooks import site_hooks
from ..sites.site import Site, clip_frame_unit
from ..wording import first_line
from .features import Featuriser
from .inputs import audio_forward
from .measured_frames import Inputs

_SECONDS = (3.0, 7.1)
"""How long the clips are whose frames are counted: one that a power of two divides, and one that none does."""
_UNTOLD = "its blocks shorten the time axis as they go"


def shorten(module: nn.Module) -> bool:
    """Whether some block gives fewer frames than it takes: a convolution in it has a stride."""
    return any(_has_a_stride(module.get_submodule(block.path)) for block in find_blocks(module))


def _has_a_stride(block: nn.Module) -> bool:
    strides = [child.stride for child in block.modules() if isinstance(child, nn.modules.conv._ConvNd)]
    return any(step != 1 for stride in strides for step in stride)


def shortened(
    sites: Sequence[Site], first: Geometry, module: nn.Module, featuriser: Featuriser, inputs: Inputs
) -> tuple[Site, ...]:
    """The sites with the geometry of as many frames as each has, by that of the frames of the first block.

    Frames are counted on a model without weights, built of the config; without seconds, and why, where that fails.
    """
    if not isinstance(first, Measured):
        return tuple(replace(site, geometry=first) for site in sites)
    try:
        counted = [_counts(sites, module, featuriser, inputs, seconds) for seconds in _SECONDS]
    except Exception as error:  # models raise anything
        why = f"{_UNTOLD}, and its frames could not be counted: {type(error).__name__}: {first_line(error)}"
        return tuple(replace(site, geometry=Unplaced(why=why)) for site in sites)
    return tuple(replace(site, geometry=_of_fewer(first, sites[0], site, counted)) for site in sites)


def _counts(
    sites: Sequence[Site], module: nn.Module, featuriser: Featuriser, inputs: Inputs, seconds: float
) -> Mapping[str, int]:
    """How many frames each site has of a clip of so many seconds."""
    kind: Any = type(module)
    with torch.device("meta"), torch.random.fork_rng(devices=[]):
        built = kind(module.config).eval()
    features = featuriser([np.zeros(int(seconds * featuriser.sampling_rate), np.float32)])
    given = {name: _on_meta(value) for name, value in inputs(built, features).items()}
    counts: dict[str, int] = {}

    def count(site: Site, value: Tensor) -> None:
        counts[site.name] = clip_frame_unit(value).shape[1]

    with torch.no_grad(), site_hooks(built, sites, count):
        audio_forward(built)(**given)
    return counts


def _on_meta(value: Any) -> Any:
    return value.to("meta") if isinstance(value, Tensor) else value


def _of_fewer(first: Measured, leading: Site, site: Site, counted: Sequence[Mapping[str, int]]) -> Geometry:
    """The geometry of a site, by how many frames of the first block come to one of its own in every clip."""
    pairs = [(counts[leading.name], counts[site.name]) for counts in counted]
    together = round(max(whole / own for whole, own in pairs))
    if first.special_tokens or any(own not in (whole // together, -(-whole // together)) for whole, own in pairs):
        return Unplaced(why=f"{_UNTOLD}, and not evenly")
    return in_groups(first, together)


def in_groups(frames: Measured, together: int) -> Measured:
    """Frames each of which stands for so many in a row of the given ones."""
    length = len(frames.starts)
    turn = math.lcm(length, together)
    turns, place = np.divmod(np.arange(turn), length)
    starts, stops = (np.array(ends)[place] + turns * frames.period for ends in (frames.starts, frames.stops))
    return Measured(
        period=turn // length * frames.period,
        starts=tuple(starts[::together].tolist()),
        stops=tuple(stops[together - 1 :: together].tolist()),
    )
