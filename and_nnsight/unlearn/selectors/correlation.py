"""`correlation`: units whose activation goes most with the concept's scores over all clips of the run."""

from __future__ import annotations

from ...dissection.dissection import Dissection
from ..names import near_names, same_name
from ..unit_set import ChoiceError
from .keys import ConceptQuery, Keys, RankedUnits, site_keys

STATISTICS = ("pearson", "cos", "cos_cubed", "auprc")


def by_correlation(dissection: Dissection, query: ConceptQuery) -> RankedUnits:
    """Rank all units that have a correlation with the concept: Pearson's, if no other is asked for.

    Raises DissectionError for a run without concepts; ChoiceError for a concept that is none of them.
    """
    statistic = query.similarity or "pearson"
    if statistic not in STATISTICS:
        raise ValueError(f"unknown similarity {statistic!r} for correlation: one of {', '.join(STATISTICS)}")
    scores = dissection.concepts
    if scores is None:
        dissection.concept_statistics(next(iter(query.widths)))  # which says what to run
    assert scores is not None
    name = same_name(query.concept, scores.names)
    if name is None:
        raise ChoiceError(
            f"{query.concept!r} is none of the concepts of this run{near_names(query.concept, scores.names)}"
        )
    column = scores.names.index(name)
    keys: Keys = {}
    for site in query.widths:
        keys |= site_keys(site, [getattr(dissection.concept_statistics(site), statistic)[:, column]])
    if not keys:
        raise ChoiceError(f"no unit has a {statistic} with {name!r}: its scores do not allow one")
    return RankedUnits(keys, {"similarity": statistic, "scores": scores.method, "rank": statistic})
