"""`db`, `tab`, `labels`, `icl`: units by their labels, of the table that `label` wrote."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ...dissection.dissection import Dissection
from ...dissection.errors import DissectionError
from ...dissection.next_step import run_first
from ...explain.records.claim_rows import LabelRow
from ...explain.records.reading import has_table, read_rows, table_path
from ..label_kinds import LabelFilter, one_kind
from ..names import near_names, same_name
from ..unit_set import ChoiceError
from .keys import ConceptQuery, Keys, RankedUnits


def by_labels(dissection: Dissection, query: ConceptQuery, method: str) -> RankedUnits:
    """Rank the units that have the concept among their first labels by a method, alone or in a union.

    By the score of the label; icl by its place, then its score. Raises DissectionError where there are no labels;
    ChoiceError for a concept that is none of the list, and where labels are of several kinds.
    """
    if query.top < 1:
        raise ValueError(f"top must be at least 1, it is {query.top}")
    rows = _rows(dissection, LabelFilter(method, query.similarity, query.encoder))
    concepts = {row.concept for row in rows if row.concept is not None}
    name = same_name(query.concept, concepts)
    if name is None:
        raise ChoiceError(
            f"{query.concept!r} is none of the concepts that units were labelled with by {method}"
            f"{near_names(query.concept, concepts)}"
        )
    of_concept = [row for row in rows if row.concept == name]
    kind = one_kind(of_concept, method)
    keys = _keys(of_concept, query, by_place=method == "icl")
    if not keys:
        raise ChoiceError(f"{name!r} is among the top {query.top} labels by {method} of no unit of these sites")
    rank = "place among the unit's labels, then score" if method == "icl" else "score of the label"
    return RankedUnits(keys, {**kind, "top": query.top, "rank": rank})


def _keys(rows: list[LabelRow], query: ConceptQuery, by_place: bool) -> Keys:
    keys: Keys = {}
    for row in sorted(rows, key=lambda row: row.rank):  # its own label replaces that of its union
        if row.rank < query.top and row.site in query.widths:
            score = row.score or 0.0
            keys[row.site, row.unit] = (-row.rank, score) if by_place else (score,)
    return keys


def _rows(dissection: Dissection, kind: LabelFilter) -> list[LabelRow]:
    """The labels of a kind, those of unions singly as well. Raises DissectionError if there are none."""
    first = run_first(dissection, "label", "--method", kind.method, "--concepts", "FILE")
    if not has_table(dissection, "labels"):
        raise DissectionError(f"{dissection.place} has no labels yet: {first}")
    labels = read_rows(table_path(dissection, "labels"), LabelRow, filters=[("method", "=", kind.method)])
    rows = [single for row in labels if kind.includes(row) for single in _singly(row) if single.concept is not None]
    if not rows:
        raise DissectionError(f"{dissection.place} has no labels by {kind} yet: {first}")
    return rows


def _singly(row: LabelRow) -> Iterator[LabelRow]:
    """A label's row; of a union also a row for each of its members, with an equal share of the score.

    A unit that goes with several concepts alike goes with each, and less than one that goes with it alone.
    """
    yield row
    members = row.members or ()
    yield from (replace(row, concept=member, score=(row.score or 0.0) / len(members)) for member in members)
