"""The rows of sites: how many of their units stand how, and where the counterparts of these are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from .concepts import Answers
from .rows import MATCHED, SHARED, STANDINGS, ComparedSiteRow, ComparedUnitRow
from .sides import Side


def site_rows(side: Side, units: Iterable[ComparedUnitRow], labelled: Answers) -> Iterator[ComparedSiteRow]:
    """A row a site, in forward order. `labelled`: the units whose clips share a label, by label."""
    of_sites: dict[str, list[ComparedUnitRow]] = {site: [] for site in side.sites}
    for row in units:
        if row.side == side.name:
            of_sites[row.site].append(row)
    layers = {site.name: site.layer for site in side.dissection.manifest.sites}
    has_labels = any(row.label for row in side.dissection.clips.values())
    for site, rows in of_sites.items():
        yield _row(side, site, layers[site], rows, labelled if has_labels else None)


def _row(
    side: Side, site: str, layer: int | None, rows: Sequence[ComparedUnitRow], labelled: Answers | None
) -> ComparedSiteRow:
    standings = Counter(row.standing for row in rows)
    matched = [row for row in rows if row.standing == MATCHED]
    nearest = Counter(row.other_site for row in rows if row.standing in (MATCHED, SHARED)).most_common(1)
    answers = None if labelled is None else _labels_of(labelled, site)
    return ComparedSiteRow(
        side.name, site, layer, len(rows),
        **{standing: standings[standing] for standing in STANDINGS},
        correlation=_mean([row.correlation for row in rows if row.correlation is not None]),
        elsewhere=sum(row.other_site != site for row in matched),
        moved=sum(row.other_site == site and row.other_unit != row.unit for row in matched),
        nearest=nearest[0][0] if nearest else None,
        answer=None if answers is None else len(answers),
        labels=None if answers is None else len(set(answers)),
    )  # fmt: skip


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _labels_of(labelled: Answers, site: str) -> list[str]:
    """The label of every unit of a site that answers to one."""
    return [
        label for label, of_label in labelled.items() for answer in of_label if answer.holds and answer.at[0] == site
    ]
