"""The captions of units' highest clips and of random ones, and how many of them are in one cluster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int64

from ..dissection.dissection import Dissection
from ..explain.describe.evidence import gather
from ..explain.records.captions import captioner_of
from ..explain.records.reading import table_settings
from ..explain.roles import Span
from ..explain.text.repetition import clean_repeated
from .site_selection import SiteSelection

_DRAWS = 10_000


def every_caption(dissection: Dissection, captions: Mapping[Span, str]) -> list[str]:
    """The captions of all clips, where they are the dataset's own, cleaned as the table's are; else the table's."""
    column = (captioner_of(dissection) or "").removeprefix("column:")
    if column not in ("caption", "label"):
        return list(captions.values())
    known = {span.clip: caption for span, caption in captions.items()}
    texts = (known.get(clip) or clean_repeated(getattr(row, column) or "") for clip, row in dissection.clips.items())
    return [text for text in texts if text]


@dataclass(frozen=True, eq=False)
class ExemplarCaptions:
    """What units' highest clips are captioned, as places in a list of captions; −1 where no caption is.

    judged     all k clips are evidence and have a caption
    undecided  fewer than k clips are evidence
    """

    captions: Int64[np.ndarray, "unit clip"]
    judged: Bool[np.ndarray, " unit"]
    undecided: Bool[np.ndarray, " unit"]


def exemplar_captions(
    dissection: Dissection, selection: SiteSelection, captions: Mapping[Span, str], places: Mapping[str, int], k: int
) -> ExemplarCaptions:
    """The captions of units' k highest clips, of those that are evidence. `places`: of every caption in the list."""
    excerpt = table_settings(dissection, "summaries").get("excerpt")
    own_places = np.full((selection.units, k), -1, np.int64)
    for place, one in enumerate(gather(dissection, selection.every_unit(), captions, k=k, excerpt=excerpt)):
        own = [places[clip.caption] for clip in one.evidence.highly]
        own_places[place, : len(own)] = own
    counts = np.concatenate([dissection.evidence_arrays(site, "top", k).counts() for site in selection.sites])
    return ExemplarCaptions(own_places, own_places[:, -1] >= 0, counts < k)


def random_captions(times: Int64[np.ndarray, " caption"], k: int, seed: int) -> Int64[np.ndarray, "draw clip"]:
    """Captions of k different clips drawn at random, many times; none where there are fewer clips."""
    clips = np.repeat(np.arange(len(times)), times)
    if len(clips) < k:
        return np.zeros((0, k), np.int64)
    generator = np.random.default_rng(seed)
    return clips[np.array([generator.choice(len(clips), k, replace=False) for _ in range(_DRAWS)])]


def clips_in_one_cluster(
    within: Bool[np.ndarray, "caption cluster"], clips: Int64[np.ndarray, "unit clip"]
) -> Int64[np.ndarray, " unit"]:
    """How many of each unit's clips are in the cluster that most of them are in; −1 is no clip."""
    counts = np.zeros((len(clips), within.shape[1]), np.int64)
    for one in clips.T:
        counts += within[one] & (one >= 0)[:, None]
    return counts.max(1)
