"""What was heard of one claim, for whoever shows it, and what was heard of all claims of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ....dissection.dissection import Dissection
from ....statistics.false_discovery import false_discovery_rates
from ....wording import Brief
from ...records.claim_rows import ListeningRow
from ...records.reading import table_settings
from .measures import chance_of_sum, interval

RATE = 0.05
"""Share of the claims said to hold by ear that may be wrong (Benjamini and Hochberg)."""


@dataclass(frozen=True)
class ListeningResult(Brief):
    """How a claim did before a listener; see `and_nnsight.explain.evaluate.listening.asking.listen` for the numbers."""

    listener: str
    text: str
    clips: int
    detection: float | None
    others: int
    others_detection: float | None
    p: float | None
    intruder: float | None
    intruder_trials: int
    intruder_p: float | None
    failure: str | None

    @classmethod
    def of(cls, row: ListeningRow, listener: str) -> ListeningResult:
        """Of a row of the table `listening`."""
        return cls(
            listener=listener,
            text=row.text,
            clips=len(row.clips or ()),
            detection=row.detection,
            others=row.others or 0,
            others_detection=row.others_detection,
            p=row.p,
            intruder=row.intruder,
            intruder_trials=row.intruder_trials or 0,
            intruder_p=row.intruder_p,
            failure=row.failure or row.intruder_failure,
        )

    def __str__(self) -> str:
        """In a sentence or two."""
        parts = [part for part in (self._of_detection(), self._of_intruders()) if part]
        if self.failure is not None:
            parts.append(f"{'not all was' if parts else 'not'} judged: {self.failure}")
        text = "; ".join(parts)
        return f"{text[:1].upper()}{text[1:]}."

    def _of_detection(self) -> str:
        if self.detection is None or self.p is None:
            return ""
        chance = [f"chance {_count(0.5, self.clips)}"]
        if self.others_detection is not None:
            others = "another unit" if self.others == 1 else f"{self.others} other units"
            chance.append(f"by the words for {others} {_count(self.others_detection, self.clips)}")
        right = f"{_count(self.detection, self.clips)} of {self.clips} excerpts judged rightly"
        return f"{right} ({', '.join(chance)}; p {self.p:.2g})"

    def _of_intruders(self) -> str:
        if self.intruder is None or self.intruder_p is None:
            return ""
        times = f"{_count(self.intruder, self.intruder_trials)} of {self.intruder_trials} times"
        return f"intruder found {times} (chance {_count(0.2, self.intruder_trials)}; p {self.intruder_p:.2g})"


def listening_results(
    dissection: Dissection, rows: Iterable[ListeningRow], texts: Mapping[str, str | None]
) -> dict[str, ListeningResult]:
    """What was heard of each source's claim about a unit: of those that still say what they said when it was heard.

    rows   of the table `listening` about the unit
    texts  what each source says of it
    """
    listener = str(table_settings(dissection, "listening").get("listener"))
    return {row.source: ListeningResult.of(row, listener) for row in rows if texts.get(row.source) == row.text}


@dataclass(frozen=True)
class ListeningSummary(Brief):
    """All that was heard of one source's claims.

    claims     that were judged
    excerpts   judgements in all
    detection  share that was right, and its 95 % interval; units of which the same is said count as one group
    others     the same share by what is said of other units; None if nothing was
    p          that claims tell their clips apart no better than what is said of others (by the area under the ROC
               curve; the signs of the groups' differences are chance); None without others
    holding    claims that hold at a false-discovery rate of 5 %
    trials, intruder  line-ups in all, and the share in which the intruder was found, with its interval (a unit is a
               group)
    """

    claims: int
    excerpts: int
    detection: float | None
    interval: tuple[float, float] | None
    others: float | None
    p: float | None
    holding: int
    trials: int
    intruder: float | None
    intruder_interval: tuple[float, float] | None


def listening_summary(rows: Sequence[ListeningRow]) -> ListeningSummary:
    """What rows of `listening` amount to together."""
    judged = [row for row in rows if row.detection is not None]
    compared = [row for row in judged if row.others_auc is not None]
    lined_up = [row for row in rows if row.intruder is not None]
    differences = _sums(compared, _advantage, "statement")
    rates = false_discovery_rates(np.array([row.p for row in judged], dtype=np.float64))
    detection = _share(judged, _detection, _excerpts, "statement")
    intruder = _share(lined_up, _intruder, _trials, "unit")
    return ListeningSummary(
        claims=len(judged),
        excerpts=detection.trials,
        detection=detection.share,
        interval=detection.interval,
        others=_others(compared),
        p=chance_of_sum(differences) if compared else None,
        holding=int((rates <= RATE).sum()),
        trials=intruder.trials,
        intruder=intruder.share,
        intruder_interval=intruder.interval,
    )


class _Share(NamedTuple):
    """Trials of all rows, the share of them that went well (None without rows), and its interval over groups."""

    trials: int
    share: float | None
    interval: tuple[float, float] | None


def _advantage(row: ListeningRow) -> float:
    """By how much a claim tells its unit's clips better than claims about other units do."""
    return (row.detection_auc or 0.0) - (row.others_auc or 0.0)


def _detection(row: ListeningRow) -> float:
    return row.detection or 0.0


def _excerpts(row: ListeningRow) -> int:
    return len(row.clips or ())


def _intruder(row: ListeningRow) -> float:
    return row.intruder or 0.0


def _trials(row: ListeningRow) -> int:
    return row.intruder_trials or 0


def _share(
    rows: Sequence[ListeningRow],
    value: Callable[[ListeningRow], float],
    trials: Callable[[ListeningRow], int],
    group: str,
) -> _Share:
    right = _sums(rows, lambda row: value(row) * trials(row), group)
    of = _sums(rows, lambda row: float(trials(row)), group)
    total = sum(map(trials, rows))
    return _Share(total, float(right.sum()) / total if rows else None, interval(right, of))


def _others(compared: Sequence[ListeningRow]) -> float | None:
    """The share that claims about other units have right, over the same clips."""
    if not compared:
        return None
    weights = [_excerpts(row) for row in compared]
    return float(np.average([row.others_detection or 0.0 for row in compared], weights=weights))


def _sums(rows: Sequence[ListeningRow], of: Callable[[ListeningRow], float], group: str) -> np.ndarray:
    """The sum over each group of rows: those of one statement, or of one unit."""
    sums: dict[tuple[object, ...], float] = {}
    for row in rows:
        key = (row.statement,) if group == "statement" else (row.site, row.unit)
        sums[key] = sums.get(key, 0.0) + of(row)
    return np.array(list(sums.values()), dtype=np.float64)


def _count(share: float, of: int) -> str:
    """So many of so many: a whole number where it is one."""
    return f"{share * of:.1f}".removesuffix(".0")
