"""What "the same clip" is: the one home of that rule. What was found by a clip must not be judged by it.

A clip is one of a dissection's if it has

the same samples  its `content`, a hash of what the model hears: the samples at its rate, up to its window where it has
                  one. Hashes are only comparable at one rate and window: both sides must have been decoded for one
                  model, as the held-out clips of a score and the data that ablations are measured by have. Copies under
                  other names and losslessly converted files show
the same place    its id, in the same data: equal fingerprint and split
the same path     a file, by whatever name or link; or the same name within a dataset of the same name and split
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..data import UNKNOWN, Source
from ..wording import agree, counted
from .clips import ClipRow
from .descriptions import DatasetDescription
from .dissection import Dissection
from .errors import DissectionError


@dataclass(frozen=True)
class Origin:
    """Which data clips are of. A fingerprint "unknown" is that of no data."""

    name: str
    split: str | None
    fingerprint: str

    @classmethod
    def of(cls, data: DatasetDescription | Source) -> Origin:
        """Of the data of a dissection, or of a source."""
        return cls(str(data.name), data.split, data.fingerprint or UNKNOWN)

    def is_same_data(self, other: Origin) -> bool:
        """Whether a place in the one is that place in the other; False where that cannot be known."""
        known = UNKNOWN not in (self.fingerprint, other.fingerprint)
        return known and (self.fingerprint, self.split) == (other.fingerprint, other.split)


class KnownClips:
    """The clips of a dissection, to tell whether a clip is one of them."""

    def __init__(self, dissection: Dissection) -> None:
        self._origin = Origin.of(dissection.manifest.dataset)
        rows = dissection.clips.values()
        self._places = set(dissection.clips)
        self._contents: set[str] = {row.content for row in rows if row.content}
        self._paths = {_name(row.path, self._origin) for row in rows if row.path}
        self.tell = all(row.content or row.path for row in rows)
        """Whether each of them has a path or a hash, by which it can be known again in other data."""

    def has(self, clip: int, path: str | None, content: str | None, origin: Origin | None) -> bool:
        """Whether a clip is one of them: its id, path and hash of samples, and the data it is of.

        origin  None: nothing is known of the data, so that the clip's place says nothing; names within a dataset are
                then taken to be of the dissection's
        """
        if content and content in self._contents:
            return True
        if origin is not None and origin.is_same_data(self._origin) and clip in self._places:
            return True
        return bool(path) and _name(path, origin or self._origin) in self._paths

    def first(self, listed: Iterable[tuple[int, str | None]], origin: Origin) -> tuple[int, str | None] | None:
        """The first of listed clips (id, path) that is one of them by place or path; None if there is none."""
        return next(((clip, path) for clip, path in listed if self.has(clip, path, None, origin)), None)


def first_of_each(contents: Iterable[str | None]) -> list[int]:
    """The places of the clips whose samples no earlier one has; clips without a hash are like no other."""
    seen: set[str] = set()
    places = []
    for place, content in enumerate(contents):
        if not content or content not in seen:
            places.append(place)
        if content:
            seen.add(content)
    return places


def paired_clips(first: Dissection, second: Dissection) -> list[tuple[int, int]]:
    """Which clip of the second each clip of the first is, by id, in the order of the first.

    Each clip is one of the other's at most: of copies the first is the first's. Raises DissectionError, which names a
    clip, unless every clip of either dissection is one of the other's.
    """
    origins = Origin.of(first.manifest.dataset), Origin.of(second.manifest.dataset)
    pairs: dict[int, int] = {}
    left = dict(second.clips)
    for tell in (_place, _content, _path) if origins[0].is_same_data(origins[1]) else (_content, _path):
        _pair(tell, origins, {clip: row for clip, row in first.clips.items() if clip not in pairs}, left, pairs)
    missing = [row for clip, row in first.clips.items() if clip not in pairs]
    if missing:
        raise DissectionError(_lacking(second, first, missing))
    if left:
        raise DissectionError(_lacking(first, second, list(left.values())))
    return sorted(pairs.items())


def _lacking(dissection: Dissection, other: Dissection, rows: Sequence[ClipRow]) -> str:
    """That a dissection has not these clips of the other."""
    name = rows[0].path or f"clip {rows[0].clip}"
    return (
        f"the clips are not the same: {dissection.folder} has not {counted(len(rows), 'clip')} of {other.folder} "
        f"({agree(len(rows), 'it is', 'the first is')} {name}), so that what its units answer to cannot be "
        "compared; dissect the same data, all of it, into both folders"
    )


def _pair(
    tell: Callable[[ClipRow, Origin], Hashable],
    origins: tuple[Origin, Origin],
    rows: Mapping[int, ClipRow],
    left: dict[int, ClipRow],
    pairs: dict[int, int],
) -> None:
    """Pair the clips that are told alike, and take them out of those that are left of the second."""
    waiting: defaultdict[Hashable, deque[int]] = defaultdict(deque)
    for clip, row in left.items():
        waiting[tell(row, origins[1])].append(clip)
    for clip, row in rows.items():
        key = tell(row, origins[0])
        if key is not None and waiting[key]:
            pairs[clip] = waiting[key].popleft()
            del left[pairs[clip]]


def _place(row: ClipRow, origin: Origin) -> int:
    return row.clip


def _content(row: ClipRow, origin: Origin) -> str | None:
    return row.content or None


def _path(row: ClipRow, origin: Origin) -> tuple[str | None, ...] | None:
    return _name(row.path, origin) if row.path else None


def _name(path: str, origin: Origin) -> tuple[str | None, ...]:
    """How a path is compared: a file of this machine as itself, a name within its dataset."""
    if Path(path).is_absolute():
        return (str(Path(path).resolve()),)
    return (origin.name, origin.split, path)
