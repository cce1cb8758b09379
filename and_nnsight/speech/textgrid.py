"""Praat's TextGrids, by Praat's own rule.

Praat takes no notice of how a text file is laid out: it reads the numbers, the texts in quotation marks and the flags
in angle brackets that stand alone between blanks, in their order, and passes over all other words (its manual,
"TextGrid file formats"). So one reader takes the long form and the short one. We read by that rule ourselves:
`praatio` (6.2), the best kept library, looks for words of the layout, and so takes labels that hold such words apart,
refuses numbers such as 1e-05, and says nothing of what is missing from a short file that was cut.
"""

from __future__ import annotations

import codecs
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, cast

from .annotations import Annotation
from .errors import AnnotationError

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip


@dataclass(frozen=True)
class TextGrid:
    """What a TextGrid holds.

    annotations  those of its interval tiers that have a label, in their order
    tiers        names of its interval tiers
    point_tiers  names of the tiers whose labels stand at points, which are no stretches of time
    """

    annotations: tuple[Annotation, ...]
    tiers: tuple[str, ...]
    point_tiers: tuple[str, ...]


def read_textgrid(path: Path) -> TextGrid:
    """A TextGrid out of a text file, long or short, in UTF-8, UTF-16 or Latin-1. Raises AnnotationError, naming it."""
    try:
        return _textgrid(_Words(_text(path.read_bytes())))
    except OSError as error:
        raise AnnotationError(f"{path} cannot be read: {error.strerror or error}") from error
    except AnnotationError as error:
        raise AnnotationError(f"{path} is no TextGrid that can be read: {error}") from None


def _text(content: bytes) -> str:
    """The text, without a mark of its encoding; Praat on older systems wrote Latin-1."""
    if content.startswith(b"ooBinaryFile"):
        raise AnnotationError("it is a binary one; save it as a text file in Praat")
    encoding = next((name for mark, name in _MARKS if content.startswith(mark)), None)
    try:
        return content.decode(encoding or "utf-8")
    except UnicodeDecodeError as error:
        if encoding is not None:
            raise AnnotationError(f"its text is not in {encoding}, as its first bytes say") from error
        return content.decode("latin-1")


_Word = TypeVar("_Word", bound="str | float")


class _Words:
    """The numbers, texts and flags that stand alone in a text, one after another."""

    def __init__(self, text: str) -> None:
        self._words = _standing_alone(text)

    def text(self, what: str) -> str:
        """The next, which is to be a text."""
        return self._next(what, str)

    def number(self, what: str) -> float:
        """The next, which is to be a number."""
        return self._next(what, float)

    def count(self, what: str) -> int:
        """The next, which is to be a whole number."""
        number = self.number(what)
        if number < 0 or number != int(number):
            raise AnnotationError(f"{what} is {number:g}")
        return int(number)

    def flag(self, what: str) -> str:
        """The next, which is to be a flag."""
        return self._next(what, _Flag)

    def _next(self, what: str, kind: type[_Word]) -> _Word:
        word = next(self._words, None)
        if word is None:
            raise AnnotationError(f"it ends where {what} should be")
        if type(word) is not kind:  # a flag is a text too
            raise AnnotationError(f"{str(word)[:40]!r} stands where {what} should be")
        return cast("_Word", word)


class _Flag(str):
    """A word in angle brackets."""


def _standing_alone(text: str) -> Iterator[str | float]:
    place, end = 0, len(text)
    while place < end:
        character = text[place]
        if character.isspace():
            place += 1
        elif character == '"':
            closing = _closing(text, place)
            yield text[place + 1 : closing].replace('""', '"')
            place = closing + 1
        elif character == "!":  # a comment
            place = _line_end(text, place)
        else:
            begin = place
            while place < end and not text[place].isspace():
                place += 1
            yield from _word(text[begin:place])


def _closing(text: str, opening: int) -> int:
    """Where the quotation mark is that closes a text; two in a row are one that belongs to it."""
    place = text.find('"', opening + 1)
    while place >= 0 and text[place + 1 : place + 2] == '"':
        place = text.find('"', place + 2)
    if place < 0:
        raise AnnotationError("a quotation mark is opened and never closed")
    return place


def _line_end(text: str, place: int) -> int:
    end = text.find("\n", place)
    return len(text) if end < 0 else end


def _word(word: str) -> Iterator[str | float]:
    if word.startswith("<") and word.endswith(">"):
        yield _Flag(word[1:-1])
        return
    if word[0] in "+-.0123456789":
        try:
            number = float(word.removesuffix("%"))
        except ValueError:
            return
        if not math.isfinite(number):
            raise AnnotationError(f"a time is {word}")
        yield number


def _textgrid(words: _Words) -> TextGrid:
    kind = words.text("the type of the file")
    if "chronological" in kind:
        raise AnnotationError("it is a chronological one; save it as a text file in Praat")
    if not kind.startswith("ooTextFile") or words.text("the class of the object") != "TextGrid":
        raise AnnotationError("it does not say that it is a TextGrid")
    words.number("the beginning")
    words.number("the end")
    if words.flag("whether there are tiers") != "exists":
        return TextGrid((), (), ())
    annotations: list[Annotation] = []
    tiers: list[str] = []
    points: list[str] = []
    for _ in range(words.count("the number of tiers")):
        kind, name = words.text("the class of a tier"), words.text("the name of a tier").strip()
        words.number("the beginning of a tier")
        words.number("the end of a tier")
        count = words.count("the size of a tier")
        if kind == "IntervalTier":
            tiers.append(name)
            annotations += _intervals(words, name, count)
        elif kind == "TextTier":
            points.append(name)
            for _ in range(count):
                words.number("the time of a point")
                words.text("the mark of a point")
        else:
            raise AnnotationError(f"a tier is of the class {kind!r}")
    return TextGrid(tuple(annotations), tuple(tiers), tuple(points))


def _intervals(words: _Words, tier: str, count: int) -> Iterator[Annotation]:
    """Those of a tier that have a label; Praat lets none begin before the sound or be without length."""
    for _ in range(count):
        start, end = words.number("the beginning of an interval"), words.number("the end of an interval")
        label = words.text("the text of an interval").strip()
        if end < start:
            raise AnnotationError(f"an interval of the tier {tier!r} begins at {start:g} s and ends at {end:g} s")
        if label and end > max(start, 0.0):
            yield Annotation(tier, label, max(start, 0.0), end)
