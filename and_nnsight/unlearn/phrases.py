"""Whether a caption carries a concept: all words of the concept's name, standing together.

Words are compared by their stems, whatever part of speech they are ("a baby is crying" carries crying_baby), in any
order, with nothing between them but the small words that join (of, the, is, on). "And", "with", "no", a comma or a stop
keep words apart. Words that are part of a longer name which another class has do not count: "a pan flute" carries
pan_flute, and not flute.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..explain.text.english import COMPOUND, GENERIC_WORDS, stem

_JOINING = frozenset(
    """
    a an the of on in at by to from for into onto over through its their his her your my our this that these those
    is are was were be been being
    """.split()
)
_TOKEN = re.compile(rf"(?P<word>{COMPOUND.pattern})|(?P<stop>[^\w\s'’‘\"“”\-])")
_STOP = ""

Stems = tuple[str, ...]


def content_stems(text: str) -> list[str]:
    """The stems of a text's words in order, joining words left out; an empty one where a mark keeps words apart."""
    stems: list[str] = []
    for token in _TOKEN.finditer(text.casefold().replace("’", "'").replace("_", " ")):
        if token["word"] is None:
            stems.append(_STOP)
            continue
        parts = [part for part in re.split(r"[-‐‑]", token["word"].removesuffix("'s")) if part not in _JOINING]
        stems += [stem(part) for part in parts]
    return stems


def name_stems(name: str) -> Stems:
    """The stems that a caption must have to carry a name; words such as sound only if there are no others."""
    stems = [word for word in content_stems(name) if word != _STOP]
    telling = [word for word in stems if word not in _GENERIC]
    return tuple(telling or stems)


_GENERIC = frozenset(map(stem, GENERIC_WORDS))


@dataclass(frozen=True)
class Phrase:
    """What is looked for in captions.

    ways    to say the concept, each the stems that must stand together
    longer  names of other classes that hold one of them: where one of these stands, the concept does not
    """

    ways: tuple[Stems, ...]
    longer: tuple[Stems, ...] = ()

    def in_caption(self, caption: str) -> bool:
        """Whether a caption carries one of the ways to say the concept."""
        stems = content_stems(caption)
        of_longer = {place for name in self.longer for span in _spans(stems, name) for place in span}
        return any(of_longer.isdisjoint(span) for way in self.ways for span in _spans(stems, way))

    def in_any(self, captions: Iterable[str]) -> bool:
        """Whether one of the captions carries it."""
        return any(self.in_caption(caption) for caption in captions)


def phrase_of(ways: Iterable[Stems], classes: Iterable[str]) -> Phrase:
    """The phrase of some ways to say a concept, told from the longer names of other classes."""
    distinct = tuple(dict.fromkeys(way for way in ways if way))
    names = dict.fromkeys(name_stems(name) for name in classes)
    longer = [name for name in names if any(Counter(way) < Counter(name) for way in distinct)]
    return Phrase(distinct, tuple(longer))


def _spans(stems: Sequence[str], name: Stems) -> list[range]:
    """Where the stems of a name stand together, in any order."""
    counted = Counter(name)
    spans = (range(first, first + len(name)) for first in range(len(stems) - len(name) + 1))
    return [span for span in spans if Counter(stems[span.start : span.stop]) == counted]
