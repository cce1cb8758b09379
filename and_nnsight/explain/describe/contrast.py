"""Contrast: clips that fire the neighbours of a unit and not the unit itself.

Two units of a site are neighbours as far as the same clips are evidence of both. A clip that n units respond to counts
1/n of each, so that a clip that fires half the site makes nobody a neighbour:

    overlap(u, v) = Σ_c e(u, c) e(v, c) / n(c),  u ≠ v,     e(u, c) = 1 where clip c is evidence of unit u, else 0

A clip is the better a contrast for u, the nearer the units that respond to it are to u: Σ_v overlap(u, v) e(v, c).
(Two steps of a random walk between units and clips.) Of clips that are alike in that, the one that more units respond
to comes first, then the earlier: so a unit without neighbours gets what its site responds to most.

Only clips that the unit is known not to respond to are taken: its activation is less than `evidence.WEAKEST` as far
from its mean as that of its first exemplar. That is known of every clip where the run kept activations; else of the
unit's stored bottom, and of all clips that are not in its stored top where that goes down so far. (Of clips that are
merely not among the stored 16, six in ten turned out to be active.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int32, Int64
from torch import Tensor

from ...dissection.dissection import Dissection
from ...dissection.evidence import WEAKEST
from ...dissection.moments import FrameMoments
from ..records.unit_selection import moment_span
from ..roles import Span

_ELEMENTS = 2**23  # numbers in an intermediate: so many units at a time
_DECIMALS = 9  # of a score: sums over the same clips may differ in the last bits with the number of units


@dataclass(frozen=True, eq=False)
class ContrastClips:
    """For each of some units of a site the clips to contrast it with, best first.

    clips   −1: an empty place
    values  the unit's own activation on the clip; NaN where the run did not keep it
    frames  the frame at which the unit that responds to the clip most, measured by its own first exemplar, does so
    """

    clips: Int64[Tensor, "k unit"]
    values: Float32[Tensor, "k unit"]
    frames: Int32[Tensor, "k unit"]


def contrast_clips(dissection: Dissection, site: str, units: Sequence[int], k: int = 5) -> ContrastClips:
    """Up to k clips a unit that fire its neighbours and not the unit, whichever other units are asked for.

    k  also how many exemplars of each unit of the site are looked at, for what they are evidence of

    Raises DissectionError for a site that was not dissected.
    """
    wanted = torch.tensor(units, dtype=torch.int64)
    chosen = torch.full((k, len(wanted)), -1, dtype=torch.int64)
    values = torch.full((k, len(wanted)), torch.nan)
    responses = _Responses(dissection, site, k)
    if not len(responses.clips):  # no unit of the site has evidence
        return ContrastClips(chosen, values, chosen.int())
    step = max(1, _ELEMENTS // max(1, responses.size))
    for start in range(0, len(wanted), step):
        part = wanted[start : start + step]
        known = responses.known(part)
        columns = responses.best(part, known, k)
        there = columns >= 0
        place = columns.clamp(min=0)
        chosen[: len(columns), start : start + step] = responses.clips[place].masked_fill(~there, -1)
        values[: len(columns), start : start + step] = known.gather(0, place).masked_fill(~there, torch.nan)
    frames = responses.frames_of(chosen)
    return ContrastClips(chosen, values, frames)


def contrast_spans(
    dissection: Dissection, site: str, contrast: ContrastClips, excerpt: float | None
) -> dict[int, Span]:
    """The part of each contrast clip that is captioned, by the clip's id, whichever units it is contrasted with.

    All of it, or `excerpt` seconds around where some unit responds to it.
    """
    there = contrast.clips >= 0
    frame_of = dict(zip(contrast.clips[there].tolist(), contrast.frames[there].tolist(), strict=True))
    if excerpt is None:
        return {clip: Span(clip) for clip in frame_of}
    moments = FrameMoments(dissection.geometry(site), np.array(list(frame_of.values()), dtype=np.int64))
    spans: dict[int, Span] = {}
    for clip, frame in frame_of.items():
        row = dissection.clips[clip]
        spans[clip] = moment_span(clip, moments.moment(frame, row), row.seconds, excerpt)
    return spans


class _Responses:
    """Which units of a site respond to which clips: `clips` are those that are evidence of some unit, ascending."""

    def __init__(self, dissection: Dissection, site: str, k: int) -> None:
        self._dissection, self._site = dissection, site
        self._top, self._bottom = dissection[site].top, dissection[site].bottom
        self._mean = dissection[site].mean
        evidence = dissection.evidence(site, "top", k)
        place, units = evidence.telling.nonzero(as_tuple=True)
        clips = self._originals(evidence.ranked.clips[place, units])
        self.clips, columns = torch.unique(clips, return_inverse=True)
        counts = torch.bincount(columns, minlength=len(self.clips)).double()
        shape = (dissection[site].units, len(self.clips))
        pairs, ones = torch.stack([units, columns]), torch.ones(len(units), dtype=torch.float64)
        with torch.sparse.check_sparse_tensor_invariants(False):  # torch 2.11 warns unless it is told
            self._response = torch.sparse_coo_tensor(pairs, ones, shape).coalesce()
            self._share = torch.sparse_coo_tensor(pairs, ones / counts[columns], shape).coalesce()
        ascending = np.lexsort((-self.clips.numpy(), counts.numpy()))
        self._order = torch.empty(len(self.clips), dtype=torch.int64)
        self._order[torch.from_numpy(ascending)] = torch.arange(len(self.clips))
        self._frames = self._strongest(columns, evidence.strength[place, units], evidence.ranked.frames[place, units])

    @property
    def size(self) -> int:
        """How many numbers are at work for one unit."""
        return self._response.shape[0] + 4 * self._response.shape[1]

    def best(
        self, units: Int64[Tensor, " unit"], known: Float32[Tensor, "clip unit"], k: int
    ) -> Int64[Tensor, "place unit"]:
        """The columns of the best clips of units, best first; −1: there is none, as for a unit without evidence."""
        own = self._share.index_select(0, units).to_dense()
        overlap = torch.sparse.mm(self._response, own.T)
        overlap[units, torch.arange(len(units))] = 0.0
        near = torch.sparse.mm(self._response.T, overlap).mul_(10**_DECIMALS).round_().long()  # of at most k
        near = near.mul_(len(self.clips)).add_(self._order[:, None])  # no two are alike: any way to sort is the same
        means, first, last = (part[units] for part in (self._mean, self._top.values[0], self._top.values[-1]))
        border = means + WEAKEST * (first - means)
        inactive = torch.where(known.isnan(), last < border, known < border) & ~self._own(units)
        near.masked_fill_(~inactive | (own.sum(1) == 0), -1)
        best = near.topk(min(k, len(near)), dim=0)
        return best.indices.masked_fill(best.values < 0, -1)

    def known(self, units: Int64[Tensor, " unit"]) -> Float32[Tensor, "clip unit"]:
        """The activations of units on the clips, where the run kept them; NaN elsewhere."""
        table = self._dissection.activations(self._site)
        if table is not None:
            rows = np.searchsorted(np.array(list(self._dissection.clips)), self.clips.numpy())
            return torch.from_numpy(np.array(table[np.ix_(rows, units.numpy())]))
        known = torch.full((len(self.clips), len(units)), torch.nan)
        for row in range(len(self._bottom.clips)):
            columns, there = self._columns(self._bottom.clips[row, units])
            known[columns[there], there.nonzero()[:, 0]] = self._bottom.values[row, units][there]
        return known

    def frames_of(self, clips: Int64[Tensor, "k unit"]) -> Int32[Tensor, "k unit"]:
        """The frame that stands for each clip."""
        places = torch.searchsorted(self.clips, clips.clamp(min=int(self.clips[0])))
        return self._frames[places].masked_fill(clips < 0, -1)

    def _own(self, units: Int64[Tensor, " unit"]) -> Bool[Tensor, "clip unit"]:
        """The stored exemplars of units."""
        own = torch.zeros(len(self.clips), len(units), dtype=torch.bool)
        for row in self._top.clips[:, units]:
            columns, there = self._columns(row)
            own[columns[there], there.nonzero()[:, 0]] = True
        return own

    def _columns(self, clips: Int64[Tensor, " unit"]) -> tuple[Int64[Tensor, " unit"], Bool[Tensor, " unit"]]:
        """Where clips, or those of which they are copies, stand among `clips`; whether they do."""
        originals = self._originals(clips)
        columns = torch.searchsorted(self.clips, originals).clamp(max=len(self.clips) - 1)
        return columns, (clips >= 0) & (self.clips[columns] == originals)

    def _originals(self, clips: Int64[Tensor, " clip"]) -> Int64[Tensor, " clip"]:
        copies = self._dissection.copies
        if not copies:
            return clips.contiguous()
        return torch.tensor([copies.get(clip, clip) for clip in clips.tolist()], dtype=torch.int64)

    def _strongest(self, columns: Tensor, strength: Float32[Tensor, " pair"], frames: Tensor) -> Int32[Tensor, " clip"]:
        """Of each clip the frame of the pair with the most strength; of equal ones the first frame."""
        order = np.lexsort((frames.numpy(), -strength.numpy(), columns.numpy()))
        _, firsts = np.unique(columns.numpy()[order], return_index=True)
        return frames[torch.from_numpy(order[firsts])]
