"""Clips as they are named where they are shown: as much of their paths as tells them apart; the seconds of a frame."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the command line names clips before anything heavy is loaded
    from .dissection import Dissection
    from .exemplars import Exemplar

_SEPARATORS = re.compile(r"[/\\]+")


def clip_names(dissection: Dissection) -> dict[str, str]:
    """For the path of every clip as much of its end as tells it from all others."""
    paths = [row.path for row in dissection.clips.values() if row.path]
    unnamed = {path: _SEPARATORS.split(path) for path in paths}
    names: dict[str, str] = {}
    length = 1
    while unnamed:
        sharing = Counter(tuple(parts[-length:]) for parts in unnamed.values())
        for path, parts in list(unnamed.items()):
            end = tuple(parts[-length:])
            if sharing[end] == 1 or len(parts) <= length:
                names[path] = "/".join(end)
                del unnamed[path]
        length += 1
    return names


def clip_name(exemplar: Exemplar, names: Mapping[str, str]) -> str:
    """Id and name of an exemplar's clip; `names` as `clip_names` gives them."""
    return f"{exemplar.clip} {names.get(exemplar.path, exemplar.path)}" if exemplar.path else str(exemplar.clip)


def seconds(exemplar: Exemplar) -> str:
    """Where in its clip an exemplar's frame lies."""
    if exemplar.start is None or exemplar.end is None:
        return "?"
    return f"{exemplar.start:.2f}–{exemplar.end:.2f}"
