"""Adjectives that are denied: "no loud voices", "it is not bright", "neither harsh nor shrill"."""

from __future__ import annotations

from collections.abc import Sequence

from .tagging import Tagged

REACH = 4
"""A denial reaches this many words."""

_NEGATORS = frozenset(("no", "not", "n't", "without", "neither", "nor", "never", "lack", "lacking", "lacks", "absence"))
_NOT_DENIED = frozenset(("only", "just", "merely", "simply", "solely"))
_CONTRASTS = frozenset(
    """
    although because but except however if instead rather since so that though unless whereas which while who yet
    """.split()
)
_JOINING = frozenset(("and", "or", "nor"))
_BEGINNINGS = frozenset("a an the some its their this these those it they there he she we you i is are".split())
_MARKS_WITHIN = frozenset("/\"'`“”‘’*_")


def is_denied(sentence: Sequence[Tagged], place: int) -> bool:
    """Whether the adjective at a place is denied: a negation stands among the four words before it in its clause.

    "Not only" (just, merely, simply) denies nothing. A clause ends at a full stop, colon, semicolon or dash, at words
    such as "but" and "while", where "and" or "or" begins something new ("no voices and a loud guitar"), and at a comma,
    unless that stands in a row of adjectives ("not loud, harsh, or bright": all three are denied).
    """
    words = 0
    row = True  # nothing but adjectives, commas and conjunctions so far
    for at in range(place - 1, -1, -1):
        word, is_adjective = sentence[at].word.lower(), sentence[at].part == "adjective"
        if _denies(sentence, at):
            return True
        if _ends_clause(sentence, at, row):
            return False
        if _is_mark(word):
            continue
        row = row and (is_adjective or word in _JOINING)
        words += not (row and is_adjective)
        if words >= REACH:
            return False
    return False


def _denies(sentence: Sequence[Tagged], at: int) -> bool:
    word = sentence[at].word.lower()
    return word in _NEGATORS and not (word == "not" and sentence[at + 1].word.lower() in _NOT_DENIED)


def _ends_clause(sentence: Sequence[Tagged], at: int, row: bool) -> bool:
    """Whether the clause that is read backwards begins after a word or mark.

    row  whether nothing but a row of adjectives has been read
    """
    word = sentence[at].word.lower()
    if word == ",":
        return not (row and _adjective_before(sentence, at))
    if _is_mark(word):
        return word not in _MARKS_WITHIN
    return word in _CONTRASTS or (word in _JOINING and sentence[at + 1].word.lower() in _BEGINNINGS)


def _is_mark(word: str) -> bool:
    return not any(char.isalnum() for char in word)


def _adjective_before(sentence: Sequence[Tagged], comma: int) -> bool:
    return comma > 0 and sentence[comma - 1].part == "adjective"
