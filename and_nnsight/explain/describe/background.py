"""The background that a unit's captions are held against: of the whole dissection, whichever units were asked for.

Where the dataset has captions it is all clips. Captions that have to be made are made of a fixed random sample of the
clips as well (`background_spans`), and that sample is the background. How a site's units respond weighs it: a clip
counts as often in its layer as it is an exemplar of one of the layer's units (`layer_weights`). Of a sample that is an
estimate from those of its clips that are exemplars.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...dissection.dissection import Dissection
from ..records.captions import background_captions, captioner_of
from ..roles import Span
from .evidence import chosen_exemplars

SAMPLE = 200
"""Clips of the background where captions have to be made."""
_SEED = 0
_STEPS_AN_EXCERPT = 4  # as the excerpts of exemplars begin


@dataclass(frozen=True)
class Background:
    """Captions, and the clip that each is of."""

    captions: tuple[str, ...]
    clips: tuple[int, ...]


def background_of(dissection: Dissection) -> Background:
    """The captions that chance is drawn from, whichever units were asked for.

    All of the dissection's captions where it keeps them, else those that were made of the sample; empty where a table
    of captions has none of the sample. Raises DissectionError if there are no captions yet.
    """
    column = own_column(captioner_of(dissection) or "")
    if column is None:
        pairs = background_captions(dissection)
    else:
        texts = [(getattr(row, column), clip) for clip, row in sorted(dissection.clips.items())]
        pairs = [(text, clip) for text, clip in texts if text]
    return Background(tuple(caption for caption, _ in pairs), tuple(clip for _, clip in pairs))


def own_column(captioner: str) -> str | None:
    """The column that a captioner reads, if it is one that dissections keep of all clips."""
    column = captioner.removeprefix("column:")
    return column if captioner != column and column in ("caption", "label") else None


def background_spans(dissection: Dissection, size: int = SAMPLE, excerpt: float | None = None) -> list[Span]:
    """A random sample of the dissection's clips, always the same of the same clips: all where there are fewer.

    size     how many
    excerpt  seconds of each clip, from a random place on; None, or a clip that is no longer: the whole clip
    """
    random = np.random.default_rng(_SEED)
    clips = sorted(dissection.clips)
    places = sorted(random.permutation(len(clips))[:size].tolist())
    spans = []
    for clip in (clips[place] for place in places):
        seconds = dissection.clips[clip].seconds
        if excerpt is None or seconds <= excerpt:
            spans.append(Span(clip))
            continue
        step = excerpt / _STEPS_AN_EXCERPT
        start = round(int(random.integers(0, int((seconds - excerpt) / step) + 1)) * step, 6)
        spans.append(Span(clip, start, round(start + excerpt, 6)))
    return spans


def layer_weights(
    dissection: Dissection, clips: Sequence[int], k: int, *, spread: bool = False
) -> dict[str, list[float]]:
    """How many units of each site have each of the clips among their exemplars: see `evidence.chosen_exemplars`."""
    places = {clip: place for place, clip in enumerate(clips)}
    largest = max([*dissection.clips, 0])
    where = np.full(largest + 1, -1)
    where[list(places)] = list(places.values())
    weights = {}
    for site in dissection.sites:
        exemplars = chosen_exemplars(dissection, site, "top", k, spread=spread)
        columns = where[exemplars.evidence.ranked.clips[exemplars.places].numpy()]
        weights[site] = np.bincount(columns[columns >= 0], minlength=len(clips)).astype(np.float64).tolist()
    return weights
