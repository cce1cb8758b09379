"""The sentences of captions in clusters, several times over, and which clusters each caption has a sentence in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Float64, Int64

from ..dissection.table_row import TableRow
from ..explain.providers.embeddings import Embeddings, Matrix
from ..explain.text.sentences import idea, telling_sentences
from .clusters import Clusters, k_means
from .names import UNINTERPRETABLE_UNITS

_SHOWN_SENTENCES = 3


@dataclass(frozen=True)
class ClusterRow(TableRow):
    """A cluster: how many sentences and captions are in it, and the sentences nearest to its middle."""

    table: ClassVar[str] = f"{UNINTERPRETABLE_UNITS}_clusters"
    key: ClassVar[tuple[str, ...]] = ("cluster",)

    cluster: int
    sentences: int
    captions: int
    nearest: list[str]


@dataclass(frozen=True, eq=False)
class CaptionClusters:
    """Captions, each distinct one once, and the clusters of their sentences.

    captions    in alphabetical order; `times`: how many clips have each
    sentences   every distinct one, in alphabetical order; `weights`: how many clips' captions have it
    vectors     of the sentences, at length 1
    clusterings of the sentences; they differ in their seeds
    within      for each clustering, which clusters each caption has a sentence in
    """

    captions: tuple[str, ...]
    times: Int64[np.ndarray, " caption"]
    sentences: tuple[str, ...]
    weights: Float64[np.ndarray, " sentence"]
    vectors: Matrix
    clusterings: tuple[Clusters, ...]
    within: tuple[Bool[np.ndarray, "caption cluster"], ...]

    @property
    def places(self) -> dict[str, int]:
        """The place of each caption."""
        return {caption: place for place, caption in enumerate(self.captions)}

    def rows(self) -> list[ClusterRow]:
        """The clusters of the first clustering, the largest first."""
        rows: list[ClusterRow] = []
        for number, centre in enumerate(self.clusterings[0].centres):
            own = np.flatnonzero(self.clusterings[0].members == number)
            far = ((self.vectors[own] - centre) ** 2).sum(1).round(6)
            nearest = own[np.lexsort((own, -self.weights[own], far))][:_SHOWN_SENTENCES]
            captions = int(self.times[self.within[0][:, number]].sum())
            rows.append(ClusterRow(number, len(own), captions, [self.sentences[place] for place in nearest]))
        return rows


def cluster_captions(
    captions: Iterable[str], embeddings: Embeddings, clusters: int, clusterings: int, seed: int
) -> CaptionClusters:
    """Put the sentences of the captions, one a clip, in clusters: k-means, each sentence as often as clips have it.

    What comes out does not depend on the order of the captions. Raises ValueError if there are fewer distinct sentences
    than clusters.
    """
    counted = Counter(captions)
    ordered = tuple(sorted(counted))
    parts = [tuple(dict.fromkeys(map(idea, telling_sentences(caption)))) for caption in ordered]
    weighed: Counter[str] = Counter()
    for caption, own in zip(ordered, parts, strict=True):
        weighed.update(dict.fromkeys(own, counted[caption]))
    sentences = tuple(sorted(weighed))
    if len(sentences) < clusters:
        raise ValueError(
            f"the captions have {len(sentences)} different sentences, which cannot be put in {clusters} clusters: ask "
            "for fewer clusters"
        )
    weights = np.array([weighed[sentence] for sentence in sentences], np.float64)
    vectors = embeddings.once(sentences)
    fitted = tuple(k_means(vectors, weights, clusters, seed + turn) for turn in range(clusterings))
    times = np.array([counted[caption] for caption in ordered], np.int64)
    where = {sentence: place for place, sentence in enumerate(sentences)}
    within = tuple(_within(one.members, parts, where, clusters) for one in fitted)
    return CaptionClusters(ordered, times, sentences, weights, vectors, fitted, within)


def _within(
    members: Int64[np.ndarray, " sentence"], parts: Sequence[Sequence[str]], where: dict[str, int], clusters: int
) -> Bool[np.ndarray, "caption cluster"]:
    within = np.zeros((len(parts), clusters), bool)
    for row, own in zip(within, parts, strict=True):
        row[[members[where[sentence]] for sentence in own]] = True
    return within
