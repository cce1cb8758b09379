"""What a summarizer is told of a unit: captions of its highest and lowest clips, read off the tensors at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat

import torch
from jaxtyping import Bool
from torch import Tensor

from ...dissection.dissection import Dissection
from ...dissection.evidence import ExemplarEvidence
from ...dissection.moments import FrameMoments
from ...sites.geometry import Geometry
from ...wording import counted
from ..records.unit_selection import moment_span
from ..roles import CaptionedExemplar, Evidence, Span
from .contrast import contrast_clips, contrast_spans

FEW = 5
"""Exemplars at either end that are looked at where each costs something: as in the paper."""
MANY = 16
"""Exemplars at either end, at most, where captions are there of all clips: five tell little of a unit of many kinds."""


@dataclass(frozen=True, eq=False)
class ChosenExemplars:
    """A site's exemplars at one end, and which of them are looked at."""

    evidence: ExemplarEvidence
    places: Bool[Tensor, "k unit"]


@dataclass(frozen=True)
class EvidenceOrReason:
    """A unit's evidence, and why one side of it, or both, cannot be summarized (None: it can)."""

    evidence: Evidence
    highly: str | None
    lowly: str | None


def usual_k(dissection: Dissection, captioner: str, *, spread: bool = False) -> int:
    """How many exemplars at either end are looked at where nobody says: all that are stored (at most `MANY`) where the
    captions are the dataset's own, else `FEW`.

    captioner  the name of what captions are of
    spread     the few are taken from all that are stored (see `chosen_exemplars`)
    """
    own = captioner in ("column:caption", "column:label")
    return min(dissection.manifest.k, MANY) if own and not spread else FEW


def gather(
    dissection: Dissection,
    units: Iterable[tuple[str, int]],
    captions: Mapping[Span, str],
    *,
    k: int = 5,
    excerpt: float | None = None,
    spread: bool = False,
    contrast: bool = False,
) -> Iterator[EvidenceOrReason]:
    """The evidence of units (site, index), in their order.

    Only exemplars that are evidence are in it (see `dissection.evidence`), and of those, the ones with a caption. A
    side without any has the reason.

    k        clips at either end that are looked at
    excerpt  seconds around the moment at which the unit fires, where those were captioned; None: whole clips
    spread   take the k from all stored exemplars (see `chosen_exemplars`), not the most extreme
    contrast whether up to k clips that fire the unit's neighbours and not the unit are wanted (see `contrast`)
    """
    gathering = _Gathering(dissection, captions, k, excerpt, spread, contrast)
    by_site: dict[str, list[int]] = {}
    for site, unit in units:  # units of a site need not stand together, but commonly do
        if by_site and site not in by_site:
            yield from gathering.of_sites(by_site)
            by_site = {}
        by_site.setdefault(site, []).append(unit)
    yield from gathering.of_sites(by_site)


def chosen_exemplars(dissection: Dissection, site: str, side: str, k: int, *, spread: bool = False) -> ChosenExemplars:
    """A site's exemplars at one end ("top", "bottom"), of which k are looked at that are evidence.

    spread  False: the most extreme (the paper). True: of all stored ones that are evidence (see `dissection.evidence`),
            as many in ever wider steps of rank, the first and the last among them, most of them near the top. What a
            unit responds to a little less, such as the second half of a disjunction, is then seen too.
    """
    if not spread:
        evidence = dissection.evidence(site, side, k)
        return ChosenExemplars(evidence, evidence.telling)
    evidence = dissection.evidence(site, side)
    telling = evidence.telling
    rank = (telling.cumsum(0) - 1).clamp(min=0)
    last, step = telling.sum(0).clamp(min=1) - 1, torch.arange(k)[:, None]
    wanted = (last * step**2 // max(1, k - 1) ** 2).maximum(step).minimum(last)
    among = torch.zeros_like(telling).scatter_(0, wanted, True)
    return ChosenExemplars(evidence, telling & among.gather(0, rank))


@dataclass(frozen=True)
class _Gathering:
    """What `gather` goes by, for units of any site."""

    dissection: Dissection
    captions: Mapping[Span, str]
    k: int
    excerpt: float | None
    spread: bool
    contrast: bool

    def of_sites(self, by_site: Mapping[str, list[int]]) -> Iterator[EvidenceOrReason]:
        for site, units in by_site.items():
            top, bottom = (self._side(site, side, units) for side in ("top", "bottom"))
            others = self._contrast(site, units) if self.contrast else repeat(())
            for place, (unit, contrast) in enumerate(zip(units, others, strict=False)):
                highly, lowly = top.exemplars(place), bottom.exemplars(place)
                evidence = Evidence(site, unit, highly, lowly, contrast)
                yield EvidenceOrReason(evidence, top.reason(place, highly), bottom.reason(place, lowly))

    def _side(self, site: str, side: str, units: Sequence[int]) -> _Side:
        exemplars = chosen_exemplars(self.dissection, site, side, self.k, spread=self.spread)
        return _Side(self, exemplars, self.dissection.geometry(site), units)

    def _contrast(self, site: str, units: Sequence[int]) -> Iterator[tuple[CaptionedExemplar, ...]]:
        """The clips that each unit is contrasted with, those that have a caption."""
        contrast = contrast_clips(self.dissection, site, units, self.k)
        spans = contrast_spans(self.dissection, site, contrast, self.excerpt)
        captions = {clip: self.captions[span] for clip, span in spans.items() if span in self.captions}
        for clips, values in zip(contrast.clips.T.tolist(), contrast.values.T.tolist(), strict=True):
            yield tuple(
                CaptionedExemplar(clip, captions[clip], value, strength=0.0)
                for clip, value in zip(clips, values, strict=True)
                if clip in captions
            )


class _Side:
    """One end of the units of a site, as plain lists: indexing tensors one by one would take the most time."""

    def __init__(
        self, gathering: _Gathering, exemplars: ChosenExemplars, geometry: Geometry, units: Sequence[int]
    ) -> None:
        self._gathering, self._evidence, self._units = gathering, exemplars.evidence, units
        chosen, ranked = torch.tensor(units), self._evidence.ranked
        tensors = (exemplars.places, ranked.clips, ranked.values, ranked.frames, self._evidence.strength)
        self._columns = [tensor[:, chosen].T.tolist() for tensor in tensors]
        self._moments = FrameMoments(geometry, ranked.frames[:, chosen].numpy())

    def exemplars(self, place: int) -> tuple[CaptionedExemplar, ...]:
        """The exemplars of the unit at a place that are evidence and have captions."""
        if self._evidence.reason(self._units[place]) is not None:
            return ()
        exemplars = (self._exemplar(*row) for row in self._telling(place))
        return tuple(exemplar for exemplar in exemplars if exemplar is not None)

    def reason(self, place: int, exemplars: Sequence[CaptionedExemplar]) -> str | None:
        """Why the unit at a place has no such exemplars; None: it has some."""
        reason = self._evidence.reason(self._units[place])
        if reason is not None or exemplars:
            return reason
        return f"none of the {counted(len(self._telling(place)), 'clip')} has a caption"

    def _telling(self, place: int) -> list[tuple[int, float, int, float]]:
        """Clip, value, frame and strength of the exemplars that are looked at."""
        rows = zip(*(column[place] for column in self._columns), strict=True)
        return [tuple(row) for is_looked_at, *row in rows if is_looked_at]

    def _exemplar(self, clip: int, value: float, frame: int, strength: float) -> CaptionedExemplar | None:
        row = self._gathering.dissection.clips[clip]
        moment = self._moments.moment(frame, row)
        caption = self._gathering.captions.get(moment_span(clip, moment, row.seconds, self._gathering.excerpt))
        return None if caption is None else CaptionedExemplar(clip, caption, value, *moment, strength)
