"""Annotations out of TextGrid and CTM files, for the clips of a source."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from ..data import Source
from .annotations import Annotation, Annotations
from .ctm import read_ctm
from .errors import AnnotationError
from .matching import match
from .textgrid import read_textgrid
from .tiers import in_known_tiers, with_pauses

_TEXTGRID, _CTM = ".textgrid", ".ctm"


def annotations_in_files(place: Path, source: Source) -> Annotations:
    """Out of a folder of TextGrids or CTMs (nested), or one such file.

    A TextGrid is of the clip whose file has its name (its folders decide where several have it); a CTM names the
    recordings itself. What has no counterpart is said in `left_out`. Raises AnnotationError, naming the file.
    """
    paths = _paths(place)
    textgrids = {str(path): path for path in paths if path.suffix.lower() == _TEXTGRID}
    recordings = _recordings([path for path in paths if path.suffix.lower() == _CTM])
    matched = match(_clip_paths(source), [*textgrids, *recordings], str(place))
    by_clip, points = {}, set()
    for clip, name in matched.by_clip.items():
        own = recordings.get(name, [])
        if name in textgrids:
            grid = read_textgrid(textgrids[name])
            points.update(grid.point_tiers)
            own = list(grid.annotations)
        by_clip[clip] = in_known_tiers(own)
    left_out = [f"tiers of points are no stretches of time: {', '.join(sorted(points))}"] if points else []
    left_out += [matched.lacking] if matched.lacking else []
    kinds = ["TextGrid"] * bool(textgrids) + ["CTM"] * bool(recordings)
    settings = {"dataset": source.fingerprint}
    return Annotations.of(with_pauses(by_clip), " and ".join(kinds), settings, "; ".join(left_out))


def _paths(place: Path) -> list[Path]:
    """The files of annotations below a folder, in the order of their names. Raises AnnotationError for none."""
    if place.is_file():
        paths = [place]
    elif place.is_dir():
        paths = sorted(Path(folder) / name for folder, _, names in os.walk(place) for name in names)
    else:
        raise AnnotationError(f"there are no annotations at {place}: there is no such file or folder")
    wanted = [path for path in paths if path.suffix.lower() in (_TEXTGRID, _CTM)]
    if not wanted:
        raise AnnotationError(f"{place} holds no annotations: they are read from files .TextGrid and .ctm")
    return wanted


def _recordings(paths: list[Path]) -> Mapping[str, list[Annotation]]:
    """What CTMs say of each recording; of words and phones there are often two files."""
    recordings: dict[str, list[Annotation]] = {}
    for path in paths:
        for name, own in read_ctm(path).items():
            recordings.setdefault(name, []).extend(own)
    return recordings


def _clip_paths(source: Source) -> dict[int, str]:
    """Where the clips of a source are. Raises AnnotationError where they are in no files."""
    paths = {item.id: item.path for item in source.items() if item.path is not None}
    if not paths:
        raise AnnotationError(
            "files of annotations are matched with clips by their names, and these clips have none: give them a path, "
            "or a column of words with times ('column:NAME')"
        )
    return paths
