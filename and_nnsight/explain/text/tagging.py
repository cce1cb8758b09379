"""Parts of speech: `tag` says which words of an English text are adjectives, nouns, verbs and prepositions.

A facade over HanTa, whose English model comes in its wheel and is loaded at the first call: spaCy and NLTK would need a
download. HanTa was trained on the British National Corpus; what it gets wrong about descriptions of sound is put right
in `_tagging_rules`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Literal, NamedTuple

from ._tagging_rules import Token, mend

Part = Literal["adjective", "noun", "verb", "preposition", "other"]

VERSION = 1
"""Goes up when the same text may be tagged otherwise."""

_PARTS: dict[str, Part] = {
    **dict.fromkeys(("AJ0", "AJC", "AJS"), "adjective"),
    **dict.fromkeys(("NN0", "NN1", "NN2", "NP0"), "noun"),
    **dict.fromkeys(("VVB", "VVD", "VVG", "VVI", "VVN", "VVZ"), "verb"),
    **dict.fromkeys(("PRP", "PRF"), "preposition"),
}
_HYPHENS = str.maketrans({"\u2010": "-", "\u2011": "-", "\u00ad": None, "\u2019": "'", "\u02bc": "'"})
_TOKEN = re.compile(
    r"""
    \d+(?:[.,:/]\d+)*(?:-?[^\W_]+)?          # 440, 44.1kHz, 1,000, 3/4, 737-800
    | [^\W\d_]+(?:['-][^\W_]+)*              # words; hyphens and apostrophes within them
    | \.\.\.|[^\w\s]                         # punctuation, one mark at a time
    """,
    re.VERBOSE,
)
_CLITIC = re.compile(r"(?<=.)(n't|'(?:s|re|ve|ll|d|m))$", re.IGNORECASE)
_IRREGULAR = {"can't": ("ca", "n't"), "won't": ("wo", "n't"), "cannot": ("can", "not")}
_LONGEST_WORD = 32  # HanTa's time grows with the cube of a word's length, and no English word is longer
_LONGEST_PIECE = 120  # words that are tagged together
_SENTENCE_END = frozenset(".!?")


class Tagged(NamedTuple):
    """A word (or a punctuation mark: part "other") with its base form, in small letters, and its part of speech."""

    word: str
    lemma: str
    part: Part


def tag(sentence: str) -> list[Tagged]:
    """The words of a text, in order, with their parts of speech; hyphenated words stay whole, "n't" stands alone.

    Auxiliary verbs (be, have, do, can, ...), numbers, words in letters other than Latin, and punctuation are "other".
    Any text goes: texts longer than a sentence are tagged sentence by sentence, and an empty one has no words.
    """
    return list(_tagged(sentence))


@lru_cache(maxsize=50_000)
def _tagged(sentence: str) -> tuple[Tagged, ...]:
    return tuple(tagged for piece in _pieces(tokens(sentence)) for tagged in _tag_piece(piece))


@lru_cache(maxsize=50_000)
def adjective_forms(word: str) -> frozenset[str]:
    """Every base form that `tag` may give a word as an adjective, whatever stands around it."""
    lemmas = (_hanta().analyze(_readable(word), tag)[0] for tag, part in _PARTS.items() if part == "adjective")
    return frozenset((word.lower(), *(lemma.lower() for lemma in lemmas)))


def tokens(text: str) -> list[str]:
    """A text's words and punctuation marks."""
    text = unicodedata.normalize("NFC", text).translate(_HYPHENS)
    words = []
    for match in _TOKEN.finditer(text):
        word = match.group()
        if word.lower() in _IRREGULAR:
            head, tail = _IRREGULAR[word.lower()]
            words += [word[: len(head)], tail]
        elif clitic := _CLITIC.search(word):
            words += [word[: clitic.start()], clitic.group()]
        else:
            words.append(word)
    return words


def _pieces(words: list[str]) -> Iterator[list[str]]:
    """Sentences, and parts of sentences that are too long."""
    piece: list[str] = []
    for word in words:
        piece.append(word)
        if word in _SENTENCE_END or len(piece) == _LONGEST_PIECE:
            yield piece
            piece = []
    if piece:
        yield piece


def _tag_piece(words: list[str]) -> Iterator[Tagged]:
    tags = _hanta().tag_sent([_readable(word) for word in words])
    mended = [Token(word, lemma, label) for word, lemma, label in tags]
    mend(mended)
    for word, token in zip(words, mended, strict=True):
        readable = token.word == word and _is_latin(word)
        part = _PARTS.get(token.tag, "other") if readable else "other"
        yield Tagged(word, (token.lemma if readable else word).lower(), part)


def _readable(word: str) -> str:
    """The word as HanTa gets it: a stand-in for what is too long to be a word."""
    return word if len(word) <= _LONGEST_WORD else "thing"


def _is_latin(word: str) -> bool:
    return word[0].isalpha() and all(not char.isalpha() or "LATIN" in unicodedata.name(char, "") for char in word)


@lru_cache(maxsize=1)
def _hanta() -> Any:
    from HanTa.HanoverTagger import HanoverTagger  # here: it costs a third of a second, and only tagging needs it

    return HanoverTagger("morphmodel_en.pgz")
