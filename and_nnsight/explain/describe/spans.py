"""Which clips, or which parts of them, have to be captioned for units."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import numpy as np
import torch

from ...dissection.dissection import Dissection
from ...dissection.moments import FrameMoments
from ..records.unit_selection import chosen_units, moment_span
from ..roles import Span
from .contrast import contrast_clips, contrast_spans
from .evidence import FEW, chosen_exemplars
from .options import ExemplarOptions


def needed_spans(dissection: Dissection, exemplars: ExemplarOptions, *, contrast: bool = False) -> list[Span]:
    """What stands for those of units' highest and lowest k clips that are evidence, each once, by clip and start.

    contrast  and for the clips that units are contrasted with (see `contrast`)
    """
    k = FEW if exemplars.k is None else exemplars.k
    by_site: dict[str, list[int]] = {}
    for site, unit in chosen_units(dissection, exemplars.sites, exemplars.units):
        by_site.setdefault(site, []).append(unit)
    spans: set[Span] = set()
    for site, units in by_site.items():
        for side in ("top", "bottom"):
            spans.update(_of_side(dissection, site, side, units, k, exemplars))
        if contrast:
            clips = contrast_clips(dissection, site, units, k)
            spans.update(contrast_spans(dissection, site, clips, exemplars.excerpt).values())
    return ordered_spans(spans)


def ordered_spans(spans: Collection[Span]) -> list[Span]:
    """By clip and start; the whole clip first."""
    return sorted(spans, key=lambda span: (span.clip, span.start is not None, span.start or 0.0, span.end or 0.0))


def _of_side(
    dissection: Dissection, site: str, side: str, units: Sequence[int], k: int, options: ExemplarOptions
) -> Iterator[Span]:
    pick = slice(None) if len(units) == dissection.widths()[site] else torch.tensor(units)
    exemplars = chosen_exemplars(dissection, site, side, k, spread=options.spread)
    ranked, telling = exemplars.evidence.ranked, exemplars.places[:, pick]
    clips = ranked.clips[:, pick][telling].numpy()
    if options.excerpt is None:
        return map(Span, np.unique(clips).tolist())
    pairs = np.unique(np.stack([clips, ranked.frames[:, pick][telling].numpy()]), axis=1)
    return _excerpts(dissection, site, pairs, options.excerpt)


def _excerpts(dissection: Dissection, site: str, pairs: np.ndarray, excerpt: float) -> Iterator[Span]:
    """The excerpts of (clip, frame) pairs: `exemplar_span` of the exemplars, without making them one by one."""
    moments = FrameMoments(dissection.geometry(site), pairs[1])
    for clip, frame in pairs.T.tolist():
        row = dissection.clips[clip]
        yield moment_span(clip, moments.moment(frame, row), row.seconds, excerpt)
