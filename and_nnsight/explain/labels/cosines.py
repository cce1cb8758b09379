"""cos and cos_cubed: cosines of units and concepts over clips, of all clips or of each unit's extremes alone.

The definitions are in `similarities`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from .ranking import at_once, parts
from .similarity_tables import Activations, Scores, Similarity, check_scores, result_dtype

MIN_NORM = 1e-3  # of cos_cubed
_COLUMNS = 64  # that are in float64 at once; torch adds up 32 beside each other, so a multiple of that changes no bit


def cos(activations: Activations, scores: Scores, *, units_at_once: int | None = None) -> Similarity:
    """Cosine of a unit's activations and a concept's scores over clips. Neither is centred."""
    return _cosines(activations, scores, cubed=False, min_norm=0.0, units_at_once=units_at_once)


def cos_cubed(
    activations: Activations, scores: Scores, *, min_norm: float = MIN_NORM, units_at_once: int | None = None
) -> Similarity:
    """Cosine of the cubes of centred activations and centred scores, so that the extreme clips decide."""
    return _cosines(activations, scores, cubed=True, min_norm=min_norm, units_at_once=units_at_once)


@dataclass(frozen=True, eq=False)
class ConceptColumns:
    """The concepts' side of a cosine over all clips: columns of length 1, of which `rows` makes those that are wanted.

    The whole of them, twice as large as the scores, is nowhere held.

    means, norms  of the columns, norms after centring and cubing where they are `cubed`
    """

    scores: Scores
    cubed: bool
    means: Float64[Tensor, " concept"]
    norms: Float64[Tensor, " concept"]

    @classmethod
    def of(cls, scores: Scores, *, cubed: bool, min_norm: float = 0.0) -> ConceptColumns:
        """Of scores for all clips. Raises ValueError for scores that are not finite."""
        check_scores(scores)
        means, norms = [], []
        for block in scores.split(_COLUMNS, dim=1):
            columns = block.double()
            means.append(columns.mean(0))
            norms.append(_centred(columns, cubed).norm(dim=0).clamp(min=min_norm))
        norm = torch.cat(norms)
        return cls(scores, cubed, torch.cat(means), torch.where(norm > 0, norm, 1.0))

    def rows(self, rows: Int64[Tensor, "k unit"]) -> Float64[Tensor, "k unit concept"]:
        """The values of some clips."""
        values = self.scores[rows].double()
        if self.cubed:
            values = values.sub_(self.means).pow_(3)
        return values.div_(self.norms)


def cos_of_extremes(
    values: Float[Tensor, "k unit"],
    rows: Int64[Tensor, "k unit"],
    scores: Scores | ConceptColumns,
    *,
    units_at_once: int | None = None,
) -> Similarity:
    """`cos` with a unit's activation taken as 0 on all but the given clips; each of them may come once a unit.

    `scores` may be the columns of them (not cubed), which are made once for many calls.
    """
    nothing = values.new_zeros(values.shape[1])
    columns = scores if isinstance(scores, ConceptColumns) else ConceptColumns.of(scores, cubed=False)
    return _cosines_of_some(values, rows, columns, nothing, min_norm=0.0, units_at_once=units_at_once)


def cos_cubed_of_extremes(
    values: Float[Tensor, "k unit"],
    rows: Int64[Tensor, "k unit"],
    scores: Scores | ConceptColumns,
    unit_means: Float[Tensor, " unit"],
    *,
    min_norm: float = MIN_NORM,
    units_at_once: int | None = None,
) -> Similarity:
    """`cos_cubed` with a unit's activation taken as its mean on all but the given clips, whose cubes are small.

    `unit_means` are over all clips, and so are the concepts' means and norms: over all rows of `scores`, which may be
    the (cubed) columns of them, made once for many calls. Each clip may come once a unit.
    """
    made = isinstance(scores, ConceptColumns)
    columns = scores if made else ConceptColumns.of(scores, cubed=True, min_norm=min_norm)
    return _cosines_of_some(values, rows, columns, unit_means, min_norm=min_norm, units_at_once=units_at_once)


def _cosines(
    activations: Activations, scores: Scores, *, cubed: bool, min_norm: float, units_at_once: int | None
) -> Similarity:
    check_scores(scores)
    dtype = torch.promote_types(result_dtype(activations), scores.dtype)
    whole = _unit_vectors(scores.double(), cubed, min_norm).to(dtype)
    similarity = whole.new_empty(activations.shape[1], scores.shape[1])
    broken = torch.zeros(activations.shape[1], dtype=torch.bool, device=activations.device)
    for units in parts(activations.shape[1], len(activations), units_at_once):
        part = activations[:, units]
        broken[units] = ~part.isfinite().all(0)
        similarity[units] = _unit_vectors(part.double(), cubed, min_norm).to(dtype).T @ whole
    which = broken.nonzero()[:, 0]
    if len(which):  # each has clips of its own left out, so the concepts' means and norms are its own as well
        for some in which.split(at_once(scores.numel(), units_at_once)):
            finite = activations[:, some].isfinite()
            similarity[some] = _cosines_of_finite(activations[:, some], finite, scores, cubed, min_norm).to(dtype)
    return similarity


def _centred(columns: Tensor, cubed: bool) -> Tensor:
    """Columns as they are, or about their means and cubed."""
    return (columns - columns.mean(0)).pow_(3) if cubed else columns


def _unit_vectors(columns: Tensor, cubed: bool, min_norm: float) -> Tensor:
    vectors = _centred(columns, cubed)
    norms = vectors.norm(dim=0).clamp(min=min_norm)
    return vectors / torch.where(norms > 0, norms, 1.0)


def _cosines_of_finite(
    values: Activations, finite: Bool[Tensor, "clip unit"], scores: Scores, cubed: bool, min_norm: float
) -> Similarity:
    count = finite.sum(0)
    ours = values.double().masked_fill(~finite, 0.0)
    theirs = scores.double()[:, None, :] * finite[:, :, None]
    if cubed:
        ours = (ours - ours.sum(0) / count) ** 3 * finite
        theirs = (theirs - theirs.sum(0) / count[:, None]) ** 3 * finite[:, :, None]
    product = torch.einsum("nu,nuc->uc", ours, theirs)
    norms = ours.norm(dim=0).clamp(min=min_norm)[:, None] * theirs.norm(dim=0).clamp(min=min_norm)
    return (product / torch.where(norms > 0, norms, 1.0)).masked_fill((count == 0)[:, None], torch.nan)


def _cosines_of_some(
    values: Float[Tensor, "k unit"],
    rows: Int64[Tensor, "k unit"],
    columns: ConceptColumns,
    unit_means: Float[Tensor, " unit"],
    *,
    min_norm: float,
    units_at_once: int | None,
) -> Similarity:
    scores, power = columns.scores, 3 if columns.cubed else 1
    dtype = torch.promote_types(result_dtype(values), scores.dtype)
    similarity = scores.new_empty(rows.shape[1], scores.shape[1], dtype=dtype)
    for units in parts(rows.shape[1], len(rows) * scores.shape[1], units_at_once):
        there = rows[:, units] >= 0
        ours = ((values[:, units].double() - unit_means[units].double()) ** power).masked_fill(~there, 0.0)
        norms = ours.norm(dim=0).clamp(min=min_norm)
        product = torch.einsum("nu,nuc->uc", ours, columns.rows(rows[:, units].clamp(min=0)))
        cosine = product / torch.where(norms > 0, norms, 1.0)[:, None]
        similarity[units] = cosine.masked_fill(~there.any(0)[:, None], torch.nan).to(dtype)
    return similarity
