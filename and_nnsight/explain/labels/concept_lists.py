"""A list of concepts: read from a file, text, or the labels of clips; and how a concept's name reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from ...storage import undamaged

OWN_LABELS = "labels"
UNION = " | "
"""Stands between the concepts of a union, which is a label of its own (see `unions`)."""


def read_concepts(value: str | Path | Iterable[str], labels: Mapping[int, str | None] | None = None) -> tuple[str, ...]:
    """A list of concepts, each once, in the order given.

    value   a file (one a line; lines that begin with # are comments), names with commas between them, a sequence of
            names, or "labels": every label of the clips, sorted
    labels  the labels of the clips, for "labels"

    Raises ValueError if there is no such file, or no concept at all, or a name reads like a union of concepts.
    """
    names = _names(value, labels)
    stripped = (name.strip() for name in names)
    distinct = tuple(dict.fromkeys(name for name in stripped if name))
    if not distinct:
        raise ValueError("there are no concepts: give a file (one a line), a list with commas, or labels")
    unions = [name for name in distinct if UNION in name]
    if unions:
        raise ValueError(f"the concept {unions[0]!r} reads like a union of concepts: write it without {UNION!r}")
    return distinct


def _names(value: str | Path | Iterable[str], labels: Mapping[int, str | None] | None) -> list[str]:
    """The names as they stand, blank ones and repetitions included."""
    if isinstance(value, str) and value.strip() == OWN_LABELS:
        own = sorted({label for label in (labels or {}).values() if label})
        if not own:
            raise ValueError("the clips have no labels that could be the concepts: name some, or a file of them")
        return own
    if isinstance(value, Path) or (isinstance(value, str) and _is_file(value)):
        return _in_file(Path(value).expanduser())
    return _in_text(value) if isinstance(value, str) else list(value)


def _in_file(path: Path) -> list[str]:
    with undamaged(path, "name a text file with a concept a line"):
        lines = path.read_text(encoding="utf-8-sig").split("\n")  # not at U+2028, say
    return [line for line in lines if not line.lstrip().startswith("#")]


def _in_text(text: str) -> list[str]:
    if "," not in text and ("/" in text or text.endswith((".txt", ".csv"))):
        raise ValueError(f"no such file of concepts: {text}")
    return text.split(",")


def concept_text(name: str) -> str:
    """A concept's name as words: `car_horn` reads `car horn`.

    Of a union what its concepts share is said once: `bass_drum | snare_drum` reads `bass or snare drum`.
    """
    each = [part.replace("_", " ").split() for part in name.split(UNION)]
    if len(each) == 1:
        return " ".join(each[0])
    shortest = min(map(len, each))
    head = next((at for at in range(shortest) if len({words[at] for words in each}) > 1), shortest - 1)
    rest = shortest - head - 1  # every concept keeps a word of its own
    tail = next((at for at in range(rest) if len({words[-1 - at] for words in each}) > 1), rest)
    own = [" ".join(words[head : len(words) - tail]) for words in each]
    middle = f"{', '.join(own[:-1])} or {own[-1]}"
    return " ".join([*each[0][:head], middle, *each[0][len(each[0]) - tail :]])


def _is_file(value: str) -> bool:
    try:
        return Path(value).expanduser().is_file()
    except (OSError, RuntimeError, ValueError):  # a list that no file name can be
        return False
