"""Similarities that are cosines, as products of two sides: vectors of units and vectors of concepts."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from ...dissection.dissection import Dissection
from .cosines import MIN_NORM, ConceptColumns
from .extremes import extremes
from .ranking import parts, rows_of

LINEAR = ("cos", "cos_cubed", "pearson")


class UnitVectors:
    """The units' side of the similarities that are cosines (`LINEAR`): vectors over clips, of length 1 (or 0).

    `concept_vectors` are the other side. Their products are what `unit_similarity` gives from the kept activations or
    the extremes, and may be had of single units and of columns that are no concepts of the list.
    """

    def __init__(self, dissection: Dissection, site: str, ids: Int64[Tensor, " clip"], similarity: str) -> None:
        """`ids`: the clips that have scores, ascending, all of the dissection."""
        self._similarity, self._activations = similarity, dissection.activations(site)
        if self._activations is not None:
            self._places = rows_of(ids[:, None], torch.tensor(list(dissection.clips)))[:, 0].numpy()
            return
        values, self._rows, _ = extremes(dissection, site, ids)
        values = values.double()
        if similarity == "cos_cubed":
            values = (values - dissection[site].mean.double().nan_to_num(0.0)) ** 3
        self._values = _normed(values.masked_fill(self._rows < 0, 0.0), similarity)

    def times_scores(
        self, units: Int64[Tensor, " unit"], scores: Float64[Tensor, "clip column"]
    ) -> Float64[Tensor, "unit column"]:
        """`times` of the columns of these scores (`concept_vectors`); of all clips only where it is by all clips."""
        if self._activations is not None:
            return self.times(units, concept_vectors(scores, self._similarity))
        cubed = self._similarity == "cos_cubed"
        return self.times(units, ConceptColumns.of(scores, cubed=cubed, min_norm=MIN_NORM if cubed else 0.0))

    def times(
        self, units: Int64[Tensor, " unit"], columns: Float64[Tensor, "clip column"] | ConceptColumns
    ) -> Float64[Tensor, "unit column"]:
        """The similarity of these units with these columns; NaN for a unit that is not finite on some clip."""
        width = columns.scores.shape[1] if isinstance(columns, ConceptColumns) else columns.shape[1]
        similarity = torch.empty(len(units), width, dtype=torch.float64)
        each = len(self._places) if self._activations is not None else len(self._rows) * width
        for part in parts(len(units), each, None):
            some = units[part]
            if isinstance(columns, ConceptColumns):
                similarity[part] = self._of_extremes(some, columns.rows(self._rows[:, some].clamp(min=0)))
            elif self._activations is None:
                similarity[part] = self._of_extremes(some, columns[self._rows[:, some].clamp(min=0)])
            else:
                values = torch.from_numpy(np.array(self._activations[np.ix_(self._places, some.numpy())]))
                similarity[part] = concept_vectors(values, self._similarity).T @ columns
        return similarity

    def _of_extremes(
        self, units: Int64[Tensor, " unit"], chosen: Float64[Tensor, "k unit column"]
    ) -> Float64[Tensor, "unit column"]:
        return torch.einsum("nu,nuc->uc", self._values[:, units], chosen)


def concept_vectors(scores: Float[Tensor, "clip concept"], similarity: str) -> Float64[Tensor, "clip concept"]:
    """The concepts' side of `UnitVectors`."""
    columns = scores.double()
    if similarity != "cos":
        columns = columns - columns.mean(0)
    return _normed(columns**3 if similarity == "cos_cubed" else columns, similarity)


def _normed(columns: Float64[Tensor, "clip _"], similarity: str) -> Float64[Tensor, "clip _"]:
    norms = columns.norm(dim=0).clamp(min=MIN_NORM if similarity == "cos_cubed" else 0.0)
    return columns / torch.where(norms == 0, 1.0, norms)
