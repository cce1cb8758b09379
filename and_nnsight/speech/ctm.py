"""NIST's CTM (time-marked conversation): a line a word or phone: recording, channel, start, duration, label."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from .annotations import Annotation
from .errors import AnnotationError

_COMMENT = ";;"
_LEAST_FIELDS = 5


def read_ctm(path: Path) -> dict[str, list[Annotation]]:
    """The annotations of each recording that a CTM names. Raises AnnotationError, naming file and line.

    The tier is `phones` for a file whose name says so (`.phones.ctm`, `phone.ctm`), else `words`. What follows the
    label, a confidence among it, is passed over.
    """
    tier = "phones" if "phone" in path.name.lower() else "words"
    recordings: dict[str, list[Annotation]] = {}
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise AnnotationError(f"{path} is no CTM that can be read: it is not in UTF-8") from error
    except OSError as error:
        raise AnnotationError(f"{path} cannot be read: {error.strerror or error}") from error
    for number, recording, start, duration, label in _lines(path, lines):
        own = recordings.setdefault(recording, [])
        if duration < 0 or start < 0:
            raise AnnotationError(f"{path}, line {number}: {label!r} lasts {duration:g} s from {start:g} s on")
        if duration > 0:
            own.append(Annotation(tier, label, start, start + duration))
    return recordings


def _lines(path: Path, lines: list[str]) -> Iterator[tuple[int, str, float, float, str]]:
    for number, line in enumerate(lines, 1):
        fields = line.split()
        if not fields or line.startswith(_COMMENT):
            continue
        if len(fields) < _LEAST_FIELDS:
            raise AnnotationError(
                f"{path}, line {number}: a CTM has recording, channel, start, duration and label, and here are "
                f"{len(fields)} fields"
            )
        try:
            start, duration = float(fields[2]), float(fields[3])
        except ValueError:
            start = duration = math.nan
        if not math.isfinite(start + duration):
            raise AnnotationError(f"{path}, line {number}: {fields[2]!r} and {fields[3]!r} are no times")
        yield number, fields[0], start, duration, fields[4]
