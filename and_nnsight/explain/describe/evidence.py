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
from ..roles import Evidence, Heard, Span
from .contrast import contrast_clips, contrast_spans

FEW = 5
"""Exemplars at either end that are looked at where each costs something: as in the paper."""
MANY = 16
"""Exemplars at either end, at most, where captions are there of all clips: five tell little of a unit of many kinds."""


@dataclass(frozen=True)
class Gathered:
    """A unit's evidence, and why one side of it, or both, cannot be summarized (None: it can)."""

    evidence: Evidence
    highly: str | None
    lowly: str | None


def usual_k(found: Dissection, captioner: str, *, spread: bool = False) -> int:
    """How many exemplars at either end are looked at where nobody says: all that are stored (at most `MANY`) where the
    captions are the dataset's own, else `FEW`.

    captioner  the name of what captions are of
    spread     the few are taken from all that are stored (see `chosen_places`)
    """
    own = captioner in ("column:caption", "column:label")
    return min(found.manifest.k, MANY) if own and not spread else FEW


def gather(
    found: Dissection,
    chosen: Iterable[tuple[str, int]],
    captions: Mapping[Span, str],
    *,
    k: int = 5,
    excerpt: float | None = None,
    spread: bool = False,
    contrast: bool = False,
) -> Iterator[Gathered]:
    """The evidence of units (site, index), in their order.

    Only exemplars that are evidence are in it (see `exemplars`: decided, strong, no copies), and of those, the ones
    with a caption. A side without any has the reason.

    k        clips at either end that are looked at
    excerpt  seconds around the moment at which the unit fires, where those were captioned; None: whole clips
    spread   take the k from all stored exemplars (see `chosen_places`), not the most extreme
    contrast whether up to k clips that fire the unit's neighbours and not the unit are wanted (see `contrast`)
    """
    by_site: dict[str, list[int]] = {}
    for site, unit in chosen:  # units of a site need not stand together, but commonly do
        if by_site and site not in by_site:
            yield from _of_sites(found, by_site, captions, k, excerpt, contrast, spread)
            by_site = {}
        by_site.setdefault(site, []).append(unit)
    yield from _of_sites(found, by_site, captions, k, excerpt, contrast, spread)


def chosen_places(
    found: Dissection, site: str, side: str, k: int, *, spread: bool = False
) -> tuple[ExemplarEvidence, Bool[Tensor, "k unit"]]:
    """A site's exemplars at one end, and which of them are looked at: k that are evidence.

    spread  False: the most extreme (the paper). True: of all stored ones that are evidence (see `exemplars`), as many
            in ever wider steps of rank, the first and the last among them, most of them near the top. What a unit
            responds to a little less, such as the second half of a disjunction, is then seen too.
    """
    if not spread:
        evidence = found.evidence(site, side, k)
        return evidence, evidence.telling
    evidence = found.evidence(site, side)
    telling = evidence.telling
    rank = (telling.cumsum(0) - 1).clamp(min=0)
    last, step = telling.sum(0).clamp(min=1) - 1, torch.arange(k)[:, None]
    wanted = (last * step**2 // max(1, k - 1) ** 2).maximum(step).minimum(last)
    among = torch.zeros_like(telling).scatter_(0, wanted, True)
    return evidence, telling & among.gather(0, rank)


def _of_sites(
    found: Dissection,
    by_site: Mapping[str, list[int]],
    captions: Mapping[Span, str],
    k: int,
    excerpt: float | None,
    contrast: bool,
    spread: bool,
) -> Iterator[Gathered]:
    for site, units in by_site.items():
        lie = found.geometry(site)
        sides = [
            _Side(found, *chosen_places(found, site, side, k, spread=spread), lie, units, captions, excerpt)
            for side in ("top", "bottom")
        ]
        others = _contrast(found, site, units, captions, k, excerpt) if contrast else repeat(())
        for place, (unit, compared) in enumerate(zip(units, others, strict=False)):
            (highly, no_highly), (lowly, no_lowly) = (side.unit(place) for side in sides)
            yield Gathered(Evidence(site, unit, highly, lowly, compared), no_highly, no_lowly)


def _contrast(
    found: Dissection, site: str, units: Sequence[int], captions: Mapping[Span, str], k: int, excerpt: float | None
) -> Iterator[tuple[Heard, ...]]:
    """The clips that each unit is contrasted with, those that have a caption."""
    clips = contrast_clips(found, site, units, k)
    spans = contrast_spans(found, site, clips, excerpt)
    for ids, values in zip(clips.clips.T.tolist(), clips.values.T.tolist(), strict=True):
        there = ((clip, spans[clip], value) for clip, value in zip(ids, values, strict=True) if clip >= 0)
        yield tuple(Heard(clip, captions[span], value, strength=0.0) for clip, span, value in there if span in captions)


class _Side:
    """One end of the units of a site, as plain lists: indexing tensors one by one would take the most time."""

    def __init__(
        self,
        found: Dissection,
        evidence: ExemplarEvidence,
        places: Bool[Tensor, "k unit"],
        lie: Geometry,
        units: Sequence[int],
        captions: Mapping[Span, str],
        excerpt: float | None,
    ) -> None:
        self._evidence, self._units = evidence, units
        chosen, ranked = torch.tensor(units), evidence.ranked
        tensors = (places, ranked.clips, ranked.values, ranked.frames, evidence.strength)
        self._columns = [tensor[:, chosen].T.tolist() for tensor in tensors]
        self._moments = FrameMoments(lie, ranked.frames[:, chosen].numpy())
        self._known, self._captions, self._excerpt = found.clips, captions, excerpt

    def unit(self, place: int) -> tuple[tuple[Heard, ...], str | None]:
        """The exemplars of the unit at a place that are evidence and have captions; why there are none, if so."""
        if (reason := self._evidence.reason(self._units[place])) is not None:
            return (), reason
        rows = zip(*(column[place] for column in self._columns), strict=True)
        telling = [row[1:] for row in rows if row[0]]
        heard = tuple(one for row in telling if (one := self._heard(*row)) is not None)
        return heard, None if heard else f"none of the {counted(len(telling), 'clip')} has a caption"

    def _heard(self, clip: int, value: float, frame: int, strength: float) -> Heard | None:
        seconds = self._known[clip].seconds
        moment = self._moments.moment(frame, seconds)
        caption = self._captions.get(moment_span(clip, moment, seconds, self._excerpt))
        return None if caption is None else Heard(clip, caption, value, *moment, strength)
