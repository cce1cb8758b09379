"""Units that fire on the same clips, within a dissection and between two of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from ...dissection.dissection import Dissection


@dataclass(frozen=True)
class Neighbour:
    """A unit, and how far its top clips are another's: 1 where they are the same, 0 where they share none."""

    site: str
    unit: int
    overlap: float


class TopClips:
    """The clips that each unit of a dissection fires most on, as rows of a sparse matrix.

    The overlap of two units is the cosine of their rows: the share of clips in common where both have as many. Only
    clips that are evidence of a unit count. Clips are told apart by what is heard, so that two dissections of the same
    sounds can be held side by side, whatever the order of their files.
    """

    def __init__(self, dissection: Dissection) -> None:
        self.units: list[tuple[str, int]] = []
        self.keys = {clip: row.content or f"clip {clip}" for clip, row in dissection.clips.items()}
        columns, rows = [], []
        for site in dissection.sites:
            evidence = dissection.evidence_arrays(site, "top")
            clips, telling = evidence.ranked.clips.T, evidence.telling.T
            for unit in range(len(clips)):
                of_unit = clips[unit, telling[unit]].tolist()
                rows += [len(self.units)] * len(of_unit)
                columns += of_unit
                self.units.append((site, unit))
        self._columns = [self.keys[clip] for clip in columns]
        self._rows = rows
        self._places = {at: place for place, at in enumerate(self.units)}

    def matrix(self, vocabulary: dict[str, int]) -> sparse.csr_array:
        """[unit, clip], rows of length 1; `vocabulary` numbers the clips, and clips that it lacks are added."""
        columns = [vocabulary.setdefault(key, len(vocabulary)) for key in self._columns]
        shape = (len(self.units), len(vocabulary))
        counts = sparse.csr_array((np.ones(len(columns), np.float32), (self._rows, columns)), shape=shape)
        counts.data[:] = 1.0
        norms = np.sqrt(counts.sum(1))
        return sparse.csr_array(sparse.diags_array(1 / np.maximum(norms, 1.0)) @ counts)

    def place(self, at: tuple[str, int]) -> int:
        """The row of a unit. Raises KeyError for one that there is not."""
        return self._places[at]


class Neighbourhood:
    """Which units of one dissection fire on the same clips as a unit of another, or of the same."""

    def __init__(self, source: TopClips, target: TopClips) -> None:
        vocabulary: dict[str, int] = {}
        left, right = source.matrix(vocabulary), target.matrix(vocabulary)
        shape = (len(source.units), len(vocabulary))
        self._left = sparse.csr_array((left.data, left.indices, left.indptr), shape=shape)
        self._right = right.T.tocsc()
        self._source, self._target, self._same = source, target, source is target

    def of(self, at: tuple[str, int], most: int) -> list[Neighbour]:
        """The units that share most clips with it, most first; not itself, and none that shares no clip."""
        place = self._source.place(at)
        overlaps = np.asarray((self._left[[place]] @ self._right).todense()).ravel()
        if self._same:
            overlaps[place] = 0.0
        best: Iterable[int] = np.argsort(-overlaps, kind="stable")[:most].tolist()
        return [Neighbour(*self._target.units[row], float(overlaps[row])) for row in best if overlaps[row] > 0]
