"""Which share of a unit's exemplars shows a concept, read off the tensors of a site at once."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ...dissection.dissection import Dissection

FEW = 5
"""How many exemplars the paper describes a unit by."""
MOST = 0.6 - 1e-6
"""Share of them that must show the concept for a unit to be found: three of five."""


class Shares(NamedTuple):
    """Of a site's units: shares of the exemplars that are evidence and show a concept.

    few     of the first five places: the paper's "k of 5"
    all     of all stored places
    strong  the same, each place counting by its strength
    """

    few: Float[Tensor, " unit"]
    all: Float[Tensor, " unit"]
    strong: Float[Tensor, " unit"]


def clip_flags(dissection: Dissection, showing: Collection[int]) -> Bool[Tensor, " clip"]:
    """Whether a clip is among some, at the place of its id."""
    flags = torch.zeros(max(dissection.clips, default=0) + 1, dtype=torch.bool)
    flags[list(showing)] = True
    return flags


def shares(
    dissection: Dissection, site: str, shown: Bool[Tensor, "k unit"] | Float[Tensor, "k unit"], side: str = "top"
) -> Shares:
    """The shares of a site's units, where `shown` says of each stored place whether, or how well, its clip shows it.

    A place that is no evidence (see `dissection.evidence`) shows nothing: a unit that only two clips decide has at
    most 2 of 5.
    """
    few, every = dissection.evidence(site, side, FEW), dissection.evidence(site, side)
    places = len(every.ranked.clips)
    among_few = (shown * few.telling).sum(0) / min(FEW, places)
    among_all = shown * every.telling
    return Shares(among_few, among_all.sum(0) / places, (among_all * every.strength).sum(0) / places)


def shares_of_clips(dissection: Dissection, site: str, flags: Bool[Tensor, " clip"]) -> Shares:
    """The shares where a whole clip shows the concept or does not."""
    clips = dissection.evidence(site, "top").ranked.clips
    return shares(dissection, site, flags[clips.clamp(min=0)] & (clips >= 0))
