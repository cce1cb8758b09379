"""The clips of a dissection that have scores for concepts: looked up once, whatever sites are compared with them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from ...dissection.dissection import Dissection
from ...dissection.errors import DissectionError
from ...statistics.concept_scores import ConceptScores
from .cosines import MIN_NORM, ConceptColumns


@dataclass(frozen=True, eq=False)
class ScoredClips:
    """The clips of a dissection that have scores, and what is known of their scores whatever the site.

    ids    of the clips, ascending
    table  their scores, on the device where units are compared with them
    """

    dissection: Dissection
    scores: ConceptScores
    ids: Int64[Tensor, " clip"]
    table: Float32[Tensor, "clip concept"]

    @classmethod
    def of(cls, dissection: Dissection, scores: ConceptScores, device: torch.device | str | None = None) -> ScoredClips:
        """Raises DissectionError where none of the dissection's clips has a score."""
        known = np.fromiter(dissection.clips, np.int64, len(dissection.clips))
        there = torch.from_numpy(np.isin(scores.clips.numpy(), known))
        if not bool(there.any()):
            raise DissectionError(f"no clip of the dissection in {dissection.folder} has a score")
        every = bool(there.all())  # then nothing is copied
        ids, table = (scores.clips, scores.values) if every else (scores.clips[there], scores.values[there])
        return cls(dissection, scores, ids, table.to(device or "cpu"))

    @cached_property
    def plain(self) -> ConceptColumns:
        """The concepts' side of `cos`."""
        return ConceptColumns.of(self.table, cubed=False)

    @cached_property
    def cubed(self) -> ConceptColumns:
        """The concepts' side of `cos_cubed`."""
        return ConceptColumns.of(self.table, cubed=True, min_norm=MIN_NORM)

    @cached_property
    def by_concept(self) -> Float32[Tensor, "concept clip"]:
        """The scores concept by concept, on the CPU: a few columns of the table would touch all of its memory."""
        return self.table.cpu().T.contiguous()

    @cached_property
    def streamed_columns(self) -> list[int] | None:
        """Where the concepts stand among those that the run compared units with; None if their scores were others."""
        streamed, scores = self.dissection.concepts, self.scores
        if streamed is None or not set(scores.names) <= set(streamed.names):
            return None
        columns = [streamed.column_of[name] for name in scores.names]
        if streamed is scores:
            return columns
        if streamed.clips.shape != scores.clips.shape or not torch.equal(streamed.clips, scores.clips):
            return None
        return columns if torch.equal(streamed.values[:, columns], scores.values) else None
