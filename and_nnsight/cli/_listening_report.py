"""What `score --listener` prints: how often the listener was right, by source of claim."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from ._output import plain

if TYPE_CHECKING:
    from ..dissection.dissection import Dissection
    from ..explain.evaluate.listening.result import ListeningSummary


def report_listening(dissection: Dissection) -> None:
    """Print how the listener judged each source's claims, and why some were not judged."""
    from ..explain.evaluate.listening.result import listening_summary
    from ..explain.records.claim_rows import ListeningRow
    from ..explain.records.reading import read_table, table_settings

    rows = read_table(dissection, ListeningRow)
    name = plain(str(table_settings(dissection, "listening").get("listener")))
    for source in sorted({row.source for row in rows}):
        summary = listening_summary([row for row in rows if row.source == source])
        print(f"By ear ({name}), {' '.join(source.split(' ')[:3])}, held out, with 95% intervals:")
        _print(summary)
    for column, consequence in (("failure", "not judged"), ("intruder_failure", "without an intruder")):
        for reason, count in Counter(getattr(row, column) for row in rows if getattr(row, column)).most_common(2):
            print(f"  {count:,} {consequence}: {plain(reason)}")
    print(f"  what was heard: {dissection.folder / 'explanations' / 'listening.parquet'}")


def _print(summary: ListeningSummary) -> None:
    if summary.detection is not None:
        right = f"{summary.detection:.0%}{_interval(summary.interval)} of {summary.excerpts:,} excerpts judged rightly"
        print(f"  {right} (chance 50%)")
        if summary.others is not None and summary.p is not None:
            print(f"  by words for other units {summary.others:.0%} (p of the difference {summary.p:.2g})")
        print(f"  {summary.holding:,} of {summary.claims:,} claims hold by ear (of which 5% may be wrong)")
    if summary.intruder is not None:
        share = f"{summary.intruder:.0%}{_interval(summary.intruder_interval)}"
        print(f"  intruder among five clips found in {share} of {summary.trials:,} trials (chance 20%)")


def _interval(ends: tuple[float, float] | None) -> str:
    return "" if ends is None else f" ({100 * ends[0]:.0f}–{ends[1]:.0%})"
