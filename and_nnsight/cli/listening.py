"""What `score --listener` prints: how often the listener was right, by source of claim."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from ._output import plain

if TYPE_CHECKING:
    from ..dissection import Dissection
    from ..explain.listening.result import ListeningSummary


def report_listening(dissection: Dissection) -> None:
    """Print what was heard of each source's claims, and why some were not judged."""
    from ..explain.listening.result import listening_summary
    from ..explain.tables import read_table, table_settings

    rows = read_table(dissection, "listening")
    name = plain(str(table_settings(dissection, "listening").get("listener")))
    for source in sorted({row["source"] for row in rows}):
        summary = listening_summary([row for row in rows if row["source"] == source])
        kind = " ".join(source.split(" ")[:3])
        print(f"by ear ({name}), {kind}:")
        _print(summary)
    print(f"  every answer is in {dissection.folder / 'explanations' / 'listening.parquet'}")
    for column in ("failure", "intruder_failure"):
        for reason, count in Counter(row[column] for row in rows if row[column]).most_common(2):
            print(f"  {count:,} {'not judged' if column == 'failure' else 'without an intruder'}: {plain(reason)}")


def _print(summary: ListeningSummary) -> None:
    if summary.detection is not None:
        others = f"; by words for other units {summary.others:.0%}" if summary.others is not None else ""
        sure = f", p of the difference {summary.p:.2g}" if summary.p is not None else ""
        print(
            f"  {summary.detection:.0%} of {summary.excerpts:,} excerpts judged rightly "
            f"({_interval(summary.interval)}chance 50%{others}{sure})"
        )
        print(f"  {summary.holding:,} of {summary.claims:,} claims hold by ear (5% of those may be wrong)")
    if summary.intruder is not None:
        print(
            f"  the intruder among five clips found in {summary.intruder:.0%} of {summary.trials:,} trials "
            f"({_interval(summary.intruder_interval)}chance 20%)"
        )


def _interval(ends: tuple[float, float] | None) -> str:
    return "" if ends is None else f"95% interval {ends[0]:.0%} to {ends[1]:.0%}; "
