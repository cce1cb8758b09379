"""The exemplars of the units worth hearing, with their sounds: rows as the hub's viewer shows and plays them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..audio.errors import AudioError
from ..audio.flac import flac_of
from ..dissection.dissection import Dissection
from ..dissection.errors import DissectionError
from ..dissection.selectivity import most_selective_units
from ..explain.records.clip_audio import dissection_clips
from ..explain.records.unit_selection import moment_span
from ..explain.roles import Clip, Span
from .exemplar_rows import ExemplarRow
from .scratch import scratch_folder
from .unit_row import UnitRow

LONGEST_SECONDS = 30.0
_USUAL_RATE, _HIGHEST_RATE = 16_000, 48_000
_Place = tuple[str, int, int]


@dataclass
class HeardExemplars:
    """Which places of units' lists have a sound, and the sounds, a file each in a folder that goes with the object.

    spans     what is heard of the clip of each place, by site, unit and rank
    failures  clips whose sound could not be read, and why
    """

    spans: dict[_Place, Span]
    failures: dict[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._stack = ExitStack()
        self._folder = self._stack.enter_context(scratch_folder())
        self._there: dict[Span, Path] = {}

    def __enter__(self) -> HeardExemplars:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    @property
    def clips(self) -> frozenset[int]:
        """The clips of which a sound is there."""
        return frozenset(span.clip for span in self._there)

    def read(self, dissection: Dissection, data: Any = None) -> None:
        """Make the sounds: from those that the dissection keeps, else from the clips' files or from `data`.

        Raises DissectionError where there is neither, and where no sound at all can be read.
        """
        store, spans = dissection.exemplars(), sorted(set(self.spans.values()), key=_by_time)
        for span in spans:
            if store.has_sound(span.clip):
                samples, rate = store.audio(span.clip)
                self._keep(span, samples[_samples(span, rate)], rate)
        lacking = [span for span in spans if not store.has_sound(span.clip)]
        if lacking:
            rate = _commonest_rate(dissection, lacking)
            for read in dissection_clips(dissection, lacking, sampling_rate=rate, data=data):
                if isinstance(read, Clip):
                    self._keep(read.span, read.samples, rate)
                else:
                    self.failures[read[0].clip] = read[1].reason
        if spans and not self._there:
            clip, reason = next(iter(self.failures.items()))
            raise DissectionError(
                f"no sound of {len(self.failures):,} clips can be read, of clip {clip}: {reason}; give data= (--data), "
                "what was dissected, or leave the sounds out (--no-audio)"
            )

    def _keep(self, span: Span, samples: Any, rate: int) -> None:
        path = self._folder / f"{len(self._there)}.flac"
        try:
            path.write_bytes(flac_of(samples, rate))
        except AudioError as error:
            self.failures[span.clip] = error.reason
        else:
            self._there[span] = path

    def has_sound(self, row: ExemplarRow) -> bool:
        """Whether there is a sound at a place."""
        return row.side == "top" and self.spans.get((row.site, row.unit, row.rank)) in self._there

    def sound(self, row: ExemplarRow) -> tuple[dict[str, Any] | None, float | None]:
        """The sound at a place as the feature Audio keeps it, and at which second of the clip it begins."""
        if not self.has_sound(row):
            return None, None
        span = self.spans[row.site, row.unit, row.rank]
        path = self._there[span]
        name = f"{span.clip}.flac" if span.start is None else f"{span.clip} from {span.start:g} s.flac"
        return {"bytes": path.read_bytes(), "path": name}, span.start or 0.0


def heard_units(dissection: Dissection, rows: Iterable[UnitRow], most: int) -> list[tuple[str, int]]:
    """The most selective units; where units have been explained or labelled, these come before others."""
    described = {row.key_values for row in rows if row.explanation is not None or row.label is not None}
    chosen = most_selective_units(dissection, most, units=described)
    if len(chosen) < most:
        chosen += [at for at in most_selective_units(dissection, most) if at not in described]
    return chosen[:most]


def heard_spans(rows: Iterable[ExemplarRow], dissection: Dissection, most: int) -> dict[_Place, Span]:
    """Of each unit its first exemplars that are evidence, at most so many: what is to be heard of their clips."""
    spans: dict[_Place, Span] = {}
    counts: Counter[tuple[str, int]] = Counter()
    for row in rows:
        if row.side == "top" and row.evidence and counts[row.site, row.unit] < most:
            counts[row.site, row.unit] += 1
            seconds = dissection.clips[row.clip].seconds
            spans[row.site, row.unit, row.rank] = moment_span(row.clip, (row.start, row.end), seconds, LONGEST_SECONDS)
    return spans


def _samples(span: Span, rate: int) -> slice:
    if span.start is None or span.end is None:
        return slice(None)
    return slice(round(span.start * rate), round(span.end * rate))


def _by_time(span: Span) -> tuple[int, float]:
    return span.clip, span.start or 0.0


def _commonest_rate(dissection: Dissection, spans: Iterable[Span]) -> int:
    rates = Counter(dissection.clips[span.clip].sampling_rate or _USUAL_RATE for span in spans)
    return min(rates.most_common(1)[0][0], _HIGHEST_RATE)
