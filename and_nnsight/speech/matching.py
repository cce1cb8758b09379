"""Which clip a file of annotations is of: the one of the same name, and, where several have it, of the same folders."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from .errors import AnnotationError

_NEAR = 0.8
_MOST_NAMED = 3
_SOUNDS = (".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a", ".sph", ".aif", ".aiff")


@dataclass(frozen=True)
class Matched:
    """The names of annotations by clip, and in words what has no counterpart; "" where everything has one."""

    by_clip: Mapping[int, str]
    lacking: str


def match(clips: Mapping[int, str], names: Sequence[str], where: str) -> Matched:
    """Match clips, by their paths, with annotations, by their names: paths, or names of recordings.

    Raises AnnotationError if two annotations fit a clip alike, or if none fits any; the message has near names.
    """
    by_stem: dict[str, list[str]] = {}
    for name in names:
        by_stem.setdefault(stem(name), []).append(name)
    shared: dict[str, int] = {}
    for path in clips.values():
        shared[stem(path)] = shared.get(stem(path), 0) + 1
    by_clip: dict[int, str] = {}
    for clip, path in clips.items():
        candidates = by_stem.get(stem(path), [])
        if len(candidates) == 1 and shared[stem(path)] == 1:
            by_clip[clip] = candidates[0]
        elif candidates and (own := _of_same_folders(path, candidates)) is not None:
            by_clip[clip] = own
    without = [path for clip, path in clips.items() if clip not in by_clip]
    unused = sorted(set(names) - set(by_clip.values()))
    if not by_clip:
        raise AnnotationError(
            f"no clip has annotations in {where}: clips are called {_some(list(clips.values()))}, and annotations "
            f"{_some(list(names))}; give both the same names but for what follows the last dot"
        )
    return Matched(by_clip, _lacking(len(clips), without, unused))


def stem(path: str) -> str:
    """A file's name without folders and ending; of a recording's name only the ending of a sound is left off."""
    name = PurePosixPath(path.split("::")[0].replace("\\", "/"))
    endings = (*_SOUNDS, ".textgrid")
    return name.stem if name.suffix.lower() in endings else name.name


def _of_same_folders(path: str, candidates: Sequence[str]) -> str | None:
    """The one whose folders are those of the clip, counted from the innermost; None: none shares any.

    Raises AnnotationError for several that share as many.
    """
    shared = {name: _shared_folders(path, name) for name in candidates}
    most = max(shared.values())
    best = [name for name in candidates if shared[name] == most]
    if most == 0 and len(candidates) > 0:
        return None
    if len(best) > 1:
        raise AnnotationError(f"{best[0]} and {best[1]} are both of {path} by their names: keep one")
    return best[0]


def _shared_folders(path: str, name: str) -> int:
    one, other = (PurePosixPath(each.replace("\\", "/")).parent.parts[::-1] for each in (path, name))
    count = 0
    while count < min(len(one), len(other)) and one[count] == other[count]:
        count += 1
    return count


def _lacking(clips: int, without: Sequence[str], unused: Sequence[str]) -> str:
    parts = []
    if without:
        parts.append(f"{len(without):,} of {clips:,} clips have no annotations ({_some(without)})")
    if unused:
        parts.append(f"{len(unused):,} annotations are of no clip ({_some(unused)})")
    near = _near(without, unused)
    return "; ".join([*parts, *([near] if near else [])])


def _near(without: Sequence[str], unused: Sequence[str]) -> str:
    """Of names without a counterpart a pair that is nearly the same."""
    others = {stem(name): name for name in unused[:1_000]}
    for path in without[:100]:
        close = difflib.get_close_matches(stem(path), others, n=1, cutoff=_NEAR)
        if close:
            return f"is {_last(others[close[0]])} of {_last(path)}?"
    return ""


def _some(names: Sequence[str]) -> str:
    return ", ".join(_last(name) for name in names[:_MOST_NAMED]) + (", …" if len(names) > _MOST_NAMED else "")


def _last(name: str) -> str:
    return PurePosixPath(name.replace("\\", "/")).name
