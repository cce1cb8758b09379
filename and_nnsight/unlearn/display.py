"""What was measured, as tables to print."""

from __future__ import annotations

from rich import box
from rich.markup import escape
from rich.table import Table

from ..statistics.bootstrap import Estimate
from ..wording import counted
from .result import Measurement
from .result_rows import OUTCOMES, OutcomeSummary


def method_table(measurement: Measurement, outcome: str = "logit") -> Table:
    """A row a method (the paper's Table 4): its changes beside those of its random controls, with intervals.

    Raises ValueError for an outcome that was not measured.
    """
    digits = _digits(outcome)
    table = Table(
        "method", "classes", "units", "own", "others", "selectivity", "of controls", "excess over controls", "p",
        title=f"Change of the true class's {outcome} (95 % intervals over clips)", title_justify="left",
        box=box.SIMPLE,
    )  # fmt: skip
    for column in table.columns[1:]:
        column.justify = "right"
    for row in measurement.by_method():
        summary: OutcomeSummary = getattr(row, outcome)
        table.add_row(
            escape(row.method),
            str(row.classes),
            f"{row.units:,.0f}",
            _value(summary.own, digits),
            _value(summary.others, digits),
            _with_interval(summary.selectivity, digits),
            _value(summary.control_selectivity, digits),
            _with_interval(summary.excess, digits),
            "" if summary.p is None else f"{summary.p:.2g}",
        )
    return table


def choice_table(measurement: Measurement, outcome: str = "logit") -> Table:
    """A row a choice: what it does to its own class's clips and to the others, beside its controls."""
    digits = _digits(outcome)
    columns = ("method", "concept", "units", "own", "others", "selectivity", "excess over controls", "draws beaten")
    table = Table(
        *columns, title=f"Change of the true class's {outcome} (95 % intervals over clips)", title_justify="left",
        box=box.SIMPLE,
    )  # fmt: skip
    for column in table.columns[2:]:
        column.justify = "right"
    for row in measurement.rows():
        summary: OutcomeSummary = getattr(row, outcome)
        table.add_row(
            escape(row.method),
            escape(str(row.concept)),
            f"{row.units:,}",
            _value(summary.own, digits),
            _value(summary.others, digits),
            _with_interval(summary.selectivity, digits),
            _with_interval(summary.excess, digits),
            f"{summary.beaten} of {measurement.draws}",
        )
    return table


def class_table(measurement: Measurement, place: int, outcome: str = "logit", most: int = 12) -> Table:
    """What one choice does to every class's own clips (the paper's Fig. 10): the most harmed, and the target's."""
    digits = _digits(outcome)
    choice = measurement.choices[place]
    rows = measurement.by_class(place, outcome)
    shown = [row for rank, row in enumerate(rows) if rank < most or row.target]
    title = (
        f"{choice.method} for {choice.concept!r}, {counted(choice.count, 'unit')}: {outcome} of each class's own clips"
    )
    columns = ("class", "clips", "before", "after", "change", "by controls")
    table = Table(*columns, title=escape(title), title_justify="left", box=box.SIMPLE)
    for column in table.columns[1:]:
        column.justify = "right"
    for row in shown:
        name = escape(row.class_name)
        table.add_row(
            f"[bold]{name}[/bold]" if row.target else name,
            str(row.clips),
            f"{row.before:.{digits}f}",
            f"{row.after:.{digits}f}",
            _with_interval(row.change, digits),
            _value(row.control, digits),
        )
    if len(shown) < len(rows):
        table.caption = f"and {len(rows) - len(shown)} more classes"
    return table


def _digits(outcome: str) -> int:
    if outcome not in OUTCOMES:
        raise ValueError(f"unknown outcome {outcome!r}: one of {', '.join(OUTCOMES)}")
    return 2 if outcome == "logit" else 3


def _value(estimate: Estimate | None, digits: int) -> str:
    return "" if estimate is None else f"{estimate.value:+.{digits}f}"


def _with_interval(estimate: Estimate | None, digits: int) -> str:
    value = _value(estimate, digits)
    if estimate is None or estimate.low is None:
        return value
    return f"{value} ({estimate.low:+.{digits}f} to {estimate.high:+.{digits}f})"
