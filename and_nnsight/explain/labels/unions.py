"""Unions: several near concepts as one label, where a unit goes with all of them and no one stands out.

A unit that responds to speech in four languages goes with each of the four a little, and which of them comes first is
chance. The union of concepts has the sum of their scores. It is the unit's label where

near     the unit's first two concepts, or more, are all near each other: the cosine of their names, as a text encoder
         embeds them, is at least `NEAR`, and they are alternatives: their scores over clips do not go together (their
         correlation is at most `TOGETHER`; "French horn" and "French speech", which a caption with the word "French"
         fits both, do). Of the first two, first three, and so on, those are united whose union goes with the unit best;
better   their union goes with the unit at least `GAIN` times as well as the best of them alone (two concepts that go
         with a unit alike, on clips that do not overlap, give √2);
apart    the concept that comes next goes with it at most `NEXT` times as well as the least of them.

On Whisper tiny.en over 408 labelled clips that unites 12 to 21 in 100 units of a layer, nearly all by languages of
speech; with the clips' scores shuffled, 0 to 7 of the 1,536.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from ...dissection.dissection import Dissection
from ...statistics.concept_scores import ConceptScores
from ..providers.embeddings import Embeddings, cosines
from ..roles import TextEncoder
from .concept_lists import concept_text
from .scored_clips import ScoredClips
from .unit_similarity import from_extremes
from .unit_vectors import LINEAR, UnitVectors

NEAR = 0.45
"""Cosine of two concepts' names from which they may be united."""

TOGETHER = 0.05
"""Correlation of two concepts' scores over clips up to which they are alternatives."""

GAIN = 1.15
"""How many times as well as its best member a union has to go with a unit."""

NEXT = 0.5
"""How well, against a union's least member, the concept may go with the unit that comes next."""

MOST = 6
"""Concepts in a union, at most."""

_SLACK = 1e-4
_ROWS, _COLUMNS = 1 << 13, 64  # that are in float64 at once


@dataclass(frozen=True)
class Union:
    """Places of the united concepts in the list, the one that goes with the unit best first; the union's similarity."""

    members: tuple[int, ...]
    score: float


def near_concepts(scores: ConceptScores, encoder: TextEncoder, name: str) -> Bool[Tensor, "concept concept"]:
    """Which concepts may be united: near each other by their names, as the encoder embeds them, and alternatives."""
    vectors = Embeddings(encoder, name)([concept_text(concept) for concept in scores.names])
    near = torch.from_numpy(np.asarray(cosines(vectors, vectors) >= NEAR))
    near.fill_diagonal_(False)
    involved = near.any(1).nonzero()[:, 0]
    near[involved[:, None], involved] &= _correlations(scores.values[:, involved]) <= TOGETHER
    return near


def _correlations(table: Float[Tensor, "clip concept"]) -> Float64[Tensor, "concept concept"]:
    """Of every column with every other, over all rows; 0 where either is the same everywhere."""
    means = torch.cat([block.double().mean(0) for block in table.split(_COLUMNS, dim=1)])
    products = torch.zeros(table.shape[1], table.shape[1], dtype=torch.float64)
    for block in table.split(_ROWS):
        centred = block.double() - means
        products.addmm_(centred.T, centred)
    norms = products.diagonal().sqrt()
    return products / torch.where(norms == 0, 1.0, norms)[:, None] / torch.where(norms == 0, 1.0, norms)


def unions(
    dissection: Dissection,
    site: str,
    scores: ConceptScores,
    similarity: str,
    values: Float[Tensor, "unit concept"],
    near: Bool[Tensor, "concept concept"],
    scored: ScoredClips | None = None,
) -> dict[int, Union]:
    """The unions that are labels, by unit of the site.

    values  how units go with concepts (see `unit_similarity`); near: see `near_concepts`
    scored  the dissection's clips among those of `scores`, for many sites; None: they are looked up

    None for similarities that are no cosines. A similarity that was streamed over all clips is compared here by what is
    there of single clips, as `unit_similarity` does without it.
    """
    kept = dissection.activations(site) is not None
    if similarity not in LINEAR or (similarity == "pearson" and not kept):
        return {}
    scored = scored or ScoredClips.of(dissection, scores)
    streamed = not kept and scored.streamed_columns is not None
    by_clips = from_extremes(site, scored, similarity)[0].float().cpu() if streamed else values
    candidates = _candidates(values, by_clips, near)
    if not candidates:
        return {}
    vectors, united = UnitVectors(dissection, site, scored.ids, similarity), dict[int, Union]()
    for members, units in candidates.items():
        compared = vectors.times_scores(torch.tensor(units), _columns(scored.by_concept, members))
        for unit, alone, together in zip(
            units, compared[:, : len(members)].tolist(), compared[:, len(members) :].tolist(), strict=True
        ):
            score = max(together)
            count = together.index(score) + 2
            if score >= GAIN * max(alone[:count]) and _next(values[unit], count) <= NEXT * min(alone[:count]):
                united[unit] = Union(members[:count], score)
    return united


def _next(values: Float[Tensor, " concept"], count: int) -> float:
    """The highest value but for the first `count`; 0 if there is none."""
    return float(values.topk(count + 1).values[count]) if count < len(values) else 0.0


def _candidates(
    values: Float[Tensor, "unit concept"],
    by_clips: Float[Tensor, "unit concept"],
    near: Bool[Tensor, "concept concept"],
) -> Mapping[tuple[int, ...], list[int]]:
    """Units by their first concepts that are all near each other, at least two, in their order.

    by_clips  the values as single clips give them. Units with no union that they leave `apart` are left out: the vector
              of a union is one of all clips, and most units have none.
    """
    ordered = values.nan_to_num(-torch.inf, torch.inf, -torch.inf).sort(dim=1, descending=True, stable=True)
    first, best = ordered.indices[:, :MOST], ordered.values[:, : MOST + 1]
    lengths = _cliques(first, best[:, :MOST] > 0, near)
    may_be_apart = _may_be_apart(best, by_clips.gather(1, first), lengths)
    groups: dict[tuple[int, ...], list[int]] = {}
    for unit in (may_be_apart & (lengths > 1)).nonzero()[:, 0].tolist():
        groups.setdefault(tuple(first[unit, : int(lengths[unit])].tolist()), []).append(unit)
    return groups


def _may_be_apart(
    best: Float[Tensor, "unit place"], alone: Float[Tensor, "unit member"], lengths: Int64[Tensor, " unit"]
) -> Bool[Tensor, " unit"]:
    """Whether what comes after a unit's first two concepts, three, … goes with it little enough, or nearly so.

    best   each unit's highest values, one more than there may be members
    alone  how its first concepts go with it by single clips, in float32: `_SLACK` is far more than that is off
    """
    least = alone.double().nan_to_num(torch.inf).cummin(1).values
    apart = torch.zeros(len(best), dtype=torch.bool)
    for count in range(2, alone.shape[1] + 1):
        after = best[:, count].double() if count < best.shape[1] else torch.zeros(len(best), dtype=torch.float64)
        border = NEXT * least[:, count - 1]
        apart |= (count <= lengths) & (after <= border + _SLACK * (1 + border.abs()))
    return apart


def _cliques(
    first: Int64[Tensor, "unit place"],
    positive: Bool[Tensor, "unit place"],
    near: Bool[Tensor, "concept concept"],
) -> Int64[Tensor, " unit"]:
    """How many of each unit's first concepts are positive and all near each other."""
    holds = positive[:, 0].clone()
    lengths = holds.long()
    for place in range(1, first.shape[1]):
        holds &= positive[:, place] & near[first[:, :place], first[:, place, None]].all(1)
        lengths += holds
    return lengths


def _columns(by_concept: Float[Tensor, "concept clip"], members: tuple[int, ...]) -> Float64[Tensor, "clip column"]:
    """Scores of the members, then of the unions of the first two, the first three, and so on."""
    own = by_concept[list(members)].T.contiguous().double()
    return torch.cat([own, own.cumsum(1)[:, 1:]], 1)
