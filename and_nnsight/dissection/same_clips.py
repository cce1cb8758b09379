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

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..data import UNKNOWN, Source
from .descriptions import DatasetDescription
from .dissection import Dissection


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


def _name(path: str, origin: Origin) -> tuple[str | None, ...]:
    """How a path is compared: a file of this machine as itself, a name within its dataset."""
    if Path(path).is_absolute():
        return (str(Path(path).resolve()),)
    return (origin.name, origin.split, path)
