"""`db`, `tab`, `labels`, `icl`: units by their labels, of the table that `label` wrote."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from ...dissection.dissection import Dissection
from ...dissection.errors import DissectionError
from ...explain.records.claim_rows import LabelRow
from ...explain.records.reading import has_table, read_rows, table_path
from ...wording import command
from ..names import near_names, same_name
from ..unit_set import ChoiceError
from .keys import Keys, Ranked, Wanted


def by_labels(dissection: Dissection, wanted: Wanted, method: str) -> Ranked:
    """Rank the units that have the concept among their first labels by a method, alone or in a union.

    By the score of the label; icl by its place, then its score. Raises DissectionError where there are no labels;
    ChoiceError for a concept that is none of the list, and where labels are of several kinds.
    """
    if wanted.top < 1:
        raise ValueError(f"top must be at least 1, it is {wanted.top}")
    rows = _rows(dissection, wanted, method)
    known = {row.concept for row in rows if row.concept is not None}
    name = same_name(wanted.concept, known)
    if name is None:
        raise ChoiceError(
            f"{wanted.concept!r} is none of the concepts that units were labelled with by {method}"
            f"{near_names(wanted.concept, known)}"
        )
    own = [row for row in rows if row.concept == name]
    kinds = sorted({_kind(row) for row in own}, key=str)
    if len(kinds) > 1:
        said = "; ".join(" ".join(f"{part}" for part in kind if part) for kind in kinds)
        raise ChoiceError(
            f"there are labels by {method} of several kinds ({said}: similarity, list of concepts, encoder): say "
            "similarity= or encoder= (--similarity, --encoder)"
        )
    keys: Keys = {}
    for row in sorted(own, key=lambda row: row.rank):  # its own label replaces that of its union
        if row.rank < wanted.top and row.site in wanted.widths:
            score = row.score or 0.0
            keys[row.site, row.unit] = (-row.rank, score) if method == "icl" else (score,)
    if not keys:
        raise ChoiceError(f"{name!r} is among the top {wanted.top} labels by {method} of no unit of these sites")
    rank = "place among the unit's labels, then score" if method == "icl" else "score of the label"
    kind = dict(zip(("similarity", "concepts", "encoder"), kinds[0], strict=True))
    return Ranked(keys, {**kind, "top": wanted.top, "rank": rank})


def _singly(row: LabelRow) -> Iterator[LabelRow]:
    """A label's row; of a union also a row for each of its members, with an equal share of the score.

    A unit that goes with several concepts alike goes with each, and less than one that goes with it alone.
    """
    yield row
    members = row.members or ()
    yield from (replace(row, concept=member, score=(row.score or 0.0) / len(members)) for member in members)


def _kind(row: LabelRow) -> tuple[Any, ...]:
    return row.similarity, row.concepts, row.encoder


def _rows(dissection: Dissection, wanted: Wanted, method: str) -> list[LabelRow]:
    """The labels by a method, of the similarity and encoder that were asked for. Raises DissectionError if none."""
    told = command("label", dissection.folder, "--method", method, "--concepts", "FILE")
    if not has_table(dissection, "labels"):
        raise DissectionError(f"{dissection.folder} has no labels yet: run `{told}` first")
    labels = read_rows(table_path(dissection, "labels"), LabelRow, filters=[("method", "=", method)])
    rows = [
        row
        for label in labels
        for row in _singly(label)
        if wanted.similarity in (None, row.similarity)
        and wanted.encoder in (None, row.encoder)
        and row.concept is not None
    ]
    if not rows:
        asked = ", ".join(part for part in (wanted.similarity, wanted.encoder) if part)
        raise DissectionError(
            f"{dissection.folder} has no labels by {method}{f' with {asked}' if asked else ''} yet: run `{told}` first"
        )
    return rows
