"""What `score` prints: how many claims hold, site by site, and what ablated units did."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from statistics import median
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table

from ..wording import agree, command, counted
from ._output import clean, plain

if TYPE_CHECKING:
    from ..dissection.dissection import Dissection
    from ..dissection.table_row import TableRow
    from ..explain.records.claim_rows import EffectNumbers, EffectRow, ScoreRow

_MEDIANS = ("auprc", "null_auprc", "base_rate", "pearson", "null_pearson")


def report_scores(dissection: Dissection, rows: list[ScoreRow]) -> None:
    """Print a table a source, how many claims predict their clips and how many hold, and why some were not judged."""
    for source, of_source in sorted(_grouped(rows, "source").items()):
        Console().print(_site_table(dissection, source, of_source))
    holding = [row for row in rows if row.predicts and row.beyond_acoustics]
    _print_counts(dissection, rows, holding)
    _print_reasons(rows, "failure", "not judged", 3)
    _print_reasons(rows, "detection_failure", "without an answer", 2)
    if holding:
        best = max(holding, key=lambda row: row.auprc or 0.0)
        print("a unit's card: " + command("show", dissection.place, best.site, best.unit))


def report_effects(dissection: Dissection, rows: list[EffectRow]) -> None:
    """Print the units that were ablated, most selective first, and how many stand out of their controls."""
    measured = [(row, row.numbers) for row in rows if row.numbers is not None]
    if measured:
        Console().print(_effect_table(measured))
        first = sum(1 for row, numbers in measured if numbers.p <= 1 / (1 + row.controls))
        above = sum(1 for _, numbers in measured if numbers.excess.value > 0)
        print(
            f"of {counted(len(measured), 'unit')}, {above:,} {agree(above, 'takes', 'take')} more from their label's "
            f"class than other units of their site do on average, {first:,} more than every one of them "
            f"({dissection.folder / 'explanations' / 'causal.parquet'})"
        )
    _print_reasons(rows, "failure", "not measured", 3)


def _print_counts(dissection: Dissection, rows: list[ScoreRow], holding: list[ScoreRow]) -> None:
    from ..explain.evaluate.verdicts import ACOUSTICS, verdict

    predicting = sum(1 for row in rows if row.predicts)
    print(
        f"{predicting:,} of {len(rows):,} predict their clips (false-discovery rate {rows[0].level:g}), "
        f"{len(holding):,} of them more than {ACOUSTICS} do: these hold "
        f"({dissection.folder / 'explanations' / 'scores.parquet'})"
    )
    distinctive = sum(verdict(row).distinctive for row in holding)
    print(f"{distinctive:,} of these do so better than 19 in 20 claims about other units")


def _print_reasons(rows: Sequence[TableRow], column: str, consequence: str, most: int) -> None:
    for reason, count in Counter(getattr(row, column) for row in rows if getattr(row, column)).most_common(most):
        print(f"  {count:,} {consequence}: {plain(reason)}")


def _effect_table(measured: list[tuple[EffectRow, EffectNumbers]]) -> Table:
    table = Table(
        "unit", "label", "own clips", "others", "excess", "p",
        title="Ablated: change of the label's logit (excess: more selective than other units)",
        title_justify="left", box=box.SIMPLE,
    )  # fmt: skip
    table.columns[0].no_wrap = True
    for column in table.columns[2:]:
        column.justify = "right"
    for row, numbers in sorted(measured, key=lambda pair: -pair[1].excess.value)[:10]:
        changes = [f"{change.value:+.2g}" for change in (numbers.own, numbers.others, numbers.excess)]
        table.add_row(clean(f"{row.site} {row.unit}"), clean(row.concept), *changes, f"{numbers.p:.2g}")
    return table


def _site_table(dissection: Dissection, source: str, rows: list[ScoreRow]) -> Table:
    """A line a site, in forward order: how many claims of a source predict their clips, how many hold; the medians."""
    medians: list[str] = list(_MEDIANS)
    headings = ["site", "scored", "predict", "hold", "AUPRC", "null", "chance", "Pearson", "null"]
    if any(row.detection is not None for row in rows):
        medians.append("detection")
        headings.append("asked")
    table = Table(
        *headings, title=f"By {clean(_without_hash(source))}, held out (medians)", title_justify="left",
        box=box.SIMPLE, padding=0,
    )  # fmt: skip
    for column in table.columns:
        column.no_wrap = True  # the end of a site's name tells it from others
        column.justify = "right" if column is not table.columns[0] else "left"
    by_site = _grouped(rows, "site")
    for site in sorted(by_site, key=dissection.sites.index):
        group = by_site[site]
        shares = [_share(getattr(row, answer) for row in group) for answer in ("predicts", "beyond_acoustics")]
        table.add_row(clean(site), f"{len(group):,}", *shares, *(_median(group, name) for name in medians))
    return table


def _grouped(rows: Iterable[ScoreRow], column: str) -> dict[str, list[ScoreRow]]:
    groups: dict[str, list[ScoreRow]] = {}
    for row in rows:
        groups.setdefault(getattr(row, column), []).append(row)
    return groups


def _without_hash(source: str) -> str:
    """A source without the hash of the list of concepts, which says nothing to a person."""
    return " ".join(source.split(" ")[:3])


def _share(answers: Iterable[bool | None]) -> str:
    every = [bool(answer) for answer in answers]
    return f"{sum(every) / len(every):.0%}"


def _median(rows: list[ScoreRow], name: str) -> str:
    values = [getattr(row, name) for row in rows if getattr(row, name) is not None]
    return f"{median(values):.2f}" if values else ""
