"""Annotations out of a column of the data itself."""

from __future__ import annotations

from ..data import Source
from .annotations import Annotations
from .errors import AnnotationError
from .tiers import in_known_tiers, with_pauses
from .words import words_of


def annotations_in_column(column: str, source: Source) -> Annotations:
    """Out of the words with times that a source's clips have in a column, which it was opened with.

    The tier is called as the column is. Raises AnnotationError, naming the clip, for a value that holds no words.
    """
    by_clip, without = {}, 0
    for item in source.items():
        words = words_of(item.words, column, item.path or f"clip {item.id}")
        if words is None:
            without += 1
        else:
            by_clip[item.id] = in_known_tiers(words)
    if not by_clip:
        raise AnnotationError(f"no clip has words in the column {column!r} of {source.name}")
    left_out = f"{without:,} clips have no annotations" if without else ""
    return Annotations.of(with_pauses(by_clip), f"column {column}", {"dataset": source.fingerprint}, left_out)
