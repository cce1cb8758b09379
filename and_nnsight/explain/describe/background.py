"""The background that a unit's captions are held against: of the whole dissection, whichever units were asked for.

Where the dataset has captions it is all clips. Captions that have to be made are made of a fixed random sample of the
clips as well (`background_spans`), and that sample is the background. How a site's units respond weighs it: a clip
counts as often in its layer as it is an exemplar of one of the layer's units (`layer_weights`). Of a sample that is an
estimate from those of its clips that are exemplars.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ...dissection.dissection import Dissection
from ..roles import Span
from .evidence import chosen_places

SAMPLE = 200
"""Clips of the background where captions have to be made."""
_SEED = 0
_STEPS_AN_EXCERPT = 4  # as the excerpts of exemplars begin


class Background(NamedTuple):
    """Captions, and the clip that each is of."""

    captions: tuple[str, ...]
    clips: tuple[int, ...]


def background_spans(found: Dissection, size: int = SAMPLE, excerpt: float | None = None) -> list[Span]:
    """A random sample of the dissection's clips, always the same of the same clips: all where there are fewer.

    size     how many
    excerpt  seconds of each clip, from a random place on; None, or a clip that is no longer: the whole clip
    """
    random = np.random.default_rng(_SEED)
    clips = sorted(found.clips)
    drawn = sorted(random.permutation(len(clips))[:size].tolist())
    spans = []
    for clip in (clips[place] for place in drawn):
        seconds = found.clips[clip].seconds
        if excerpt is None or seconds <= excerpt:
            spans.append(Span(clip))
            continue
        step = excerpt / _STEPS_AN_EXCERPT
        start = round(int(random.integers(0, int((seconds - excerpt) / step) + 1)) * step, 6)
        spans.append(Span(clip, start, round(start + excerpt, 6)))
    return spans


def layer_weights(found: Dissection, clips: Sequence[int], k: int, *, spread: bool = False) -> dict[str, list[float]]:
    """How many units of each site have each of the clips among their exemplars: see `evidence.chosen_places`."""
    places = {clip: place for place, clip in enumerate(clips)}
    largest = max([*found.clips, 0])
    where = np.full(largest + 1, -1)
    where[list(places)] = list(places.values())
    weights = {}
    for site in found.sites:
        evidence, chosen = chosen_places(found, site, "top", k, spread=spread)
        those = where[evidence.ranked.clips[chosen].numpy()]
        weights[site] = np.bincount(those[those >= 0], minlength=len(clips)).astype(np.float64).tolist()
    return weights
