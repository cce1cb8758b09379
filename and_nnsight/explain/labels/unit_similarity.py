"""How the units of a dissected site go with concepts, from what the run kept: all clips, or each unit's extremes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int64
from torch import Tensor

from ...dissection.dissection import Dissection
from ...dissection.errors import DissectionError
from ...dissection.evidence import ExemplarEvidence
from ...dissection.site_statistics import SiteStatistics
from ...dissection.ties import decided_places
from ...kernels import exact_average_precision
from ...statistics.concept_scores import ConceptScores
from .cosines import cos_cubed_of_extremes, cos_of_extremes
from .extremes import extremes, won_by_value
from .mutual_information import SOFT_WPMI, WPMI, soft_wpmi_of_top, wpmi_of_top
from .ranking import Best, best_clips, rows_of, scored_first
from .reordering import fraction_of, rank_reorder_of_top
from .scored_clips import ScoredClips
from .similarities import PUBLISHED

KEPT = "all clips (kept activations)"
STREAMED = "all clips (streamed)"
TOP = "top-K"
TOP_ONLY = "top-K only"

SIMILARITIES = (*PUBLISHED, "pearson", "auprc")
_OF_THE_BEST = {"wpmi": WPMI.top_k, "soft_wpmi": SOFT_WPMI.top_k}
_STREAMED = ("pearson", "cos", "cos_cubed", "auprc")
_CHUNK = 2**24  # activations read from the disk at once


@dataclass(frozen=True, eq=False)
class SiteSimilarity:
    """How every unit of a site goes with every concept.

    values  higher is closer; NaN for a unit of which nothing can be said
    basis   what a unit's values were computed from: all clips, its extreme clips where these are all that the
            similarity needs ("top-K"), or a variant of the similarity over its extreme clips ("top-K only")
    failure why nothing can be said of a unit; None where something can
    """

    values: Float32[Tensor, "unit concept"]
    basis: list[str]
    failure: list[str | None]


def unit_similarity(
    dissection: Dissection,
    site: str,
    scores: ConceptScores,
    similarity: str,
    *,
    device: torch.device | str | None = None,
    scored: ScoredClips | None = None,
) -> SiteSimilarity:
    """Compare every unit of a site with every concept, exactly where what the run kept allows it.

    Kept activations are used first, then statistics that the run made for these scores, then each unit's K clips at
    either end: there wpmi, soft_wpmi and rank_reorder are exact if K is 28, 100 or a twentieth of the clips. cos and
    cos_cubed are variants, in which the unit is 0 (its mean, which is known) on all other clips.

    scored  the dissection's clips among those of `scores`, for many sites; None: they are looked up

    Raises ValueError for an unknown similarity, or auprc with scores other than 0 and 1; DissectionError for pearson
    and auprc where the run kept only the extremes, and for scores of other clips.
    """
    _check(similarity, scores)
    scored = scored or ScoredClips.of(dissection, scores, device)
    ids, table = scored.ids, scored.table
    units = dissection[site].units
    activations = dissection.activations(site)
    columns = None
    if activations is None and similarity in _STREAMED:
        columns = scored.streamed_columns
    if activations is not None:
        values = _from_activations(dissection, activations, ids, table, similarity)
        basis = [KEPT] * units
    elif columns is not None:
        values = getattr(dissection.concept_statistics(site), similarity)[:, columns]
        basis = [STREAMED] * units
    elif similarity in ("pearson", "auprc"):
        raise DissectionError(
            f"{similarity} needs every clip's activations, of which {dissection.folder} has only the extremes: dissect "
            "with concepts= (the same scores) or keep_activations=True, or choose another similarity"
        )
    else:
        values, exact = from_extremes(site, scored, similarity)
        basis = [TOP if each else TOP_ONLY for each in exact.tolist()]
    values = values.float().cpu()
    failures = _failures(dissection[site], dissection.evidence(site, "top"), values, similarity, basis)
    return SiteSimilarity(values, basis, failures)


def _check(similarity: str, scores: ConceptScores) -> None:
    if similarity not in SIMILARITIES:
        raise ValueError(f"unknown similarity {similarity!r}: one of {', '.join(SIMILARITIES)}")
    if similarity == "auprc" and not bool(scores.binary.all()):
        raise ValueError("auprc needs scores that are all 0 or 1: use the method labels, or another similarity")


def _from_activations(
    dissection: Dissection, activations: np.ndarray, ids: Int64[Tensor, " clip"], table: Tensor, similarity: str
) -> Tensor:
    rows = rows_of(torch.tensor(list(dissection.clips))[:, None], ids)[:, 0]
    if similarity in (*_OF_THE_BEST, "rank_reorder"):  # of exemplars that are the same sound one counts
        rows[[place for place, clip in enumerate(dissection.clips) if clip in dissection.copies]] = -1
    clips = (rows >= 0).nonzero()[:, 0]
    scored = table[rows[clips].to(table.device)]
    best, values = list[Best](), list[Tensor]()
    step = max(1, _CHUNK // max(1, len(clips)))
    wanted = fraction_of(len(clips)) if similarity == "rank_reorder" else _OF_THE_BEST.get(similarity)
    for start in range(0, activations.shape[1], step):
        part = torch.from_numpy(activations[:, start : start + step].copy())[clips].to(table.device)
        if wanted is not None:  # these compare units with each other: first the best clips of all
            best.append(_decided(best_clips(part, wanted + 1), wanted))
        elif similarity == "auprc":
            values.append(exact_average_precision(part, scored > 0))
        else:
            compare = pearson if similarity == "pearson" else PUBLISHED[similarity]
            values.append(compare(part, scored))
    if wanted is None:
        return torch.cat(values)
    every = Best(*(torch.cat(parts, 1) for parts in zip(*best, strict=True)))
    return _of_top(every.values, every.rows, scored, similarity)


def _decided(best: Best, wanted: int) -> Best:
    """Of so many best clips those that are won by value; the one beyond them tells."""
    there = best.rows >= 0
    none = torch.zeros(best.rows.shape[1], dtype=torch.int64, device=best.rows.device)
    decided = decided_places(best.values.masked_fill(~there, 0.0), there, none, wanted)
    remaining = scored_first(best.values, best.rows.masked_fill(~decided, -1))
    return Best(remaining.values[:wanted], remaining.rows[:wanted])


def pearson(activations: Float[Tensor, "clip unit"], scores: Float[Tensor, "clip concept"]) -> Tensor:
    """Correlation of every unit with every concept; 0 where either is constant, NaN for a unit that is not finite."""
    ours, theirs = activations.double(), scores.double()
    ours, theirs = ours - ours.mean(0), theirs - theirs.mean(0)
    norms = ours.norm(dim=0)[:, None] * theirs.norm(dim=0)
    tiny = torch.finfo(torch.float32).tiny
    return torch.where(
        norms > tiny, ours.T @ theirs / norms.clamp(min=tiny), torch.where(norms.isnan(), torch.nan, 0.0)
    )


def _of_top(values: Tensor, rows: Tensor, table: Tensor, similarity: str) -> Tensor:
    if similarity == "rank_reorder":
        return rank_reorder_of_top(values, rows, table)
    of_top = wpmi_of_top if similarity == "wpmi" else soft_wpmi_of_top
    return of_top(rows, table)


def from_extremes(site: str, scored: ScoredClips, similarity: str) -> tuple[Tensor, Bool[Tensor, " unit"]]:
    """The values by each unit's extreme clips, and for which units they are what all clips would give."""
    dissection, ids, table = scored.dissection, scored.ids, scored.table
    statistics = dissection[site]
    if similarity in ("cos", "cos_cubed"):
        values, rows, whole = extremes(dissection, site, ids)
        values, there = values.to(table.device), rows.to(table.device)
        if similarity == "cos":
            return cos_of_extremes(values, there, scored.plain), whole
        means = statistics.mean.to(table.device).nan_to_num(0.0)
        return cos_cubed_of_extremes(values, there, scored.cubed, means), whole
    top, upper = statistics.top, rows_of(statistics.top.clips, ids)
    every = torch.minimum(torch.tensor(len(ids)), statistics.finite)
    needed = _OF_THE_BEST.get(similarity) or fraction_of(len(ids))
    exact = (upper >= 0).sum(0) >= torch.minimum(torch.tensor(needed), every)
    rows = upper.masked_fill(~won_by_value(dissection, site, "top", needed), -1)
    values, rows = scored_first(top.values, rows)
    values, rows = values[:needed], rows[:needed]
    return _of_top(values.to(table.device), rows.to(table.device), table, similarity), exact


def _failures(
    statistics: SiteStatistics,
    evidence: ExemplarEvidence,
    values: Float32[Tensor, "unit concept"],
    similarity: str,
    basis: list[str],
) -> list[str | None]:
    silent = values.isnan().all(1)
    constant = statistics.variance == 0
    undecided = ~evidence.decided.any(0)
    by_top = torch.tensor([each == TOP_ONLY or similarity not in _STREAMED for each in basis])
    known = values.masked_fill(values.isnan(), -torch.inf)
    alike = (known.amax(1) == values.masked_fill(values.isnan(), torch.inf).amin(1)) & (values.shape[1] > 1)
    reasons = (
        (statistics.finite == 0, "it has no finite activation"),
        (silent, "nothing can be said: it is not finite on some clip, or none of its extreme clips has a score"),
        (constant, "its activation is the same on all clips"),
        (undecided & by_top, "no clip is decided: its top clips have one activation, which more clips share"),
        (alike, "it fits all concepts alike"),
    )
    failures: list[str | None] = [None] * len(values)
    for which, reason in reversed(reasons):
        for unit in which.nonzero()[:, 0].tolist():
            failures[unit] = reason
    return failures
