"""What a comparison lost and gained, to see and hear: a report of units of either dissection."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..comparison.result import Comparison
from ..comparison.rows import FIRST, GAINED, LOST, ComparedUnitRow
from ..dissection.dissection import Dissection
from ..run.exemplar_plan import UnitName
from ..wording import counted
from .report import Report, write_report

MOST = 40


def write_lost_and_gained(
    comparison: Comparison,
    first: Dissection,
    second: Dissection,
    folder: str | Path,
    *,
    most: int = MOST,
    models: tuple[Any, Any] = (None, None),
    data: Any = None,
    **options: Any,
) -> list[Report]:
    """Write lost.html, units of the first dissection whose like none of the second is, and gained.html, the reverse.

    A report each (see `write_report`), with what was compared at its top, and on each card the nearest unit of the
    other dissection. Units without evidence have nothing to show and are left out; where none is left there is no file.

    most     at most so many units each, those with the most evidence first
    models   of the first and of the second, and data: what was dissected; None: what the dissections name
    options  of `write_report`

    Raises what `write_report` raises.
    """
    reports = []
    sides = ((LOST, first, comparison.lost(), models[0]), (GAINED, second, comparison.gained(), models[1]))
    for change, dissection, rows, model in sides:
        shown = [row for row in rows if row.evidence][:most]
        if shown:
            units = [(row.site, row.unit) for row in shown]
            texts = [_heading(change, comparison, len(shown), len(rows)), *comparison.summary()]
            note = "\n\n".join(f"{text[:1].upper()}{text[1:]}" for text in texts)
            notes: dict[UnitName, str] = {(row.site, row.unit): _remark(change, row) for row in shown}
            path = Path(folder) / f"{change}.html"
            reports.append(
                write_report(dissection, path, units, model=model, data=data, note=note, notes=notes, **options)
            )
    return reports


def _heading(change: str, comparison: Comparison, shown: int, of: int) -> str:
    sides = [comparison.side_name(side) for side in ("first", "second")]
    mine, other = sides if change == LOST else reversed(sides)
    return (
        f"{change.capitalize()}: {shown:,} of the {of:,} units of the {mine} dissection for which no unit of the "
        f"{other} answers to the same clips."
    )


def _remark(change: str, row: ComparedUnitRow) -> str:
    other = "second" if row.side == FIRST else FIRST
    words = f", “{row.other_words}”" if row.other_words else ""
    return (
        f"{change.capitalize()}: the nearest unit of the {other} dissection, {row.other_site} {row.other_unit}{words}, "
        f"correlates at {row.correlation:.2f} (q {row.q_alone:.2g}) and shares {row.shared_clips} of its "
        f"{counted(row.evidence, 'clip')} that are evidence."
    )
