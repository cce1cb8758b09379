"""A caption cut into noun groups, verb groups and the words that join them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import zip_longest

from .phrases import root
from .tagging import Part, Tagged, tag

DETERMINERS = frozenset(
    "a an another any each every his her its many no several some that the their these this those".split()
)
RELATIVE = frozenset("that which who whose".split())
NEGATIONS = frozenset("no not without never n't".split())
AUXILIARIES = frozenset("am are be been being can could does has have is was were will would".split())
_ADVERBS = frozenset("away down fast off out slowly softly together up".split())
_PARTICLES = frozenset("back down forth fro in off on out over to under up".split())
_PLAIN_ADJECTIVES = frozenset("hi lo".split())
_KEPT_STEMS = 1 << 18  # texts: a caption comes again with every unit that its clip excites


@dataclass(frozen=True)
class Word:
    """A word of a caption.

    stem    "" of what says nothing of a sound
    key     whether a clause has to have it
    shared  whether all the captions have it
    comma   whether one follows
    """

    text: str
    lemma: str
    part: Part
    stem: str
    key: bool = False
    shared: bool = False
    comma: bool = False


@dataclass(frozen=True)
class Group:
    """A noun group or a verb group, with the words that join it to what is before.

    breaks  whether a mark stands among those
    counted whether a number stands among those or in it
    """

    words: tuple[Word, ...]
    verbal: bool
    link: tuple[Word, ...] = ()
    breaks: bool = False
    counted: bool = False

    @property
    def head(self) -> Word:
        """The noun, the last adjective where there is none, or the verb."""
        wanted = "verb" if self.verbal else "noun"
        return next((word for word in reversed(self.words) if word.part == wanted), self.words[-1])

    @property
    def key(self) -> bool:
        """Whether it has a word that a clause has to have."""
        return any(word.key for word in self.words)


@lru_cache(maxsize=1 << 14)
def word_groups(text: str) -> tuple[Group, ...]:
    """The noun groups and verb groups of a text, in order."""
    words = _words_of(text)
    groups: list[Group] = []
    link: list[Word] = []
    breaks = False
    at = 0
    while at < len(words):
        group = _group_at(words, at)
        if group is None:
            breaks |= not any(char.isalnum() for char in words[at].text)
            link.append(words[at])
            at += 1
            continue
        joining = tuple(word for word in link if word.text[0].isalpha())
        counted = any(word.text[0].isdigit() for word in (*link, *group.words))
        groups.append(replace(group, link=joining, breaks=breaks, counted=counted))
        at += len(group.words)
        link, breaks = [], False
    return tuple(groups)


def stems(text: str) -> frozenset[str]:
    """The stems of what a text says of a sound."""
    return frozenset(_distinct_stems(text))


@lru_cache(maxsize=_KEPT_STEMS)
def _distinct_stems(text: str) -> tuple[str, ...]:
    """The same as a tuple, of which a whole corpus fits where sets would take seven times the memory."""
    return tuple(dict.fromkeys(word.stem for group in word_groups(text) for word in group.words if word.stem))


def _words_of(text: str) -> list[Word]:
    words = list(_stemmed(tag(text)))
    return [
        replace(word, comma=following is not None and following.text == ",")
        for word, following in zip_longest(words, words[1:])
    ]


def _stemmed(tagged: Sequence[Tagged]) -> Iterator[Word]:
    """The words with their stems; one after a negation has that of "no loudness"."""
    denied = False
    for word, lemma, part in tagged:
        stem = root(word) if word[0].isalnum() else ""
        if word.lower() in _PLAIN_ADJECTIVES:
            part = "adjective"
        yield Word(word, lemma, part, f"no {stem}" if stem and denied else stem or "")
        denied = stem is None or (denied and not stem and word[0].isalnum())


def _group_at(words: Sequence[Word], at: int) -> Group | None:
    """The group that begins at a place, without a link; None if none does."""
    end = _verb_group_end(words, at)
    if end is not None:
        return Group(tuple(words[at:end]), verbal=True)
    end = _noun_group_end(words, at)
    if end is None:
        return None
    group = tuple(words[at:end])
    if _lacks_its_noun(words, at, end):
        group = (*group, replace(words[end], part="noun"))
    return Group(group, verbal=False)


def _verb_group_end(words: Sequence[Word], at: int) -> int | None:
    """Where the verb group that begins at a place ends; None if none does."""
    end = at
    while end < len(words) and (words[end].text.lower() in AUXILIARIES | NEGATIONS or _is_adverb(words[end])):
        end += 1
    if end == len(words) or words[end].part != "verb":
        return None
    end += 1
    while length := _adverb_length(words, end):
        end += length
    return end


def _adverb_length(words: Sequence[Word], at: int) -> int:
    """How many words the adverb or the pair of particles ("up and down") has that stands at a place; 0: none does."""
    pair = [word.text.lower() for word in words[at : at + 3]]
    if len(pair) == 3 and pair[1] == "and" and {pair[0], pair[2]} <= _PARTICLES:
        return 3
    return int(at < len(words) and _is_adverb(words[at]))


def _noun_group_end(words: Sequence[Word], at: int) -> int | None:
    """Where the noun group that begins at a place ends; None if none does."""
    end = None  # after the last noun or adjective
    for place in range(at, len(words)):
        part = words[place].part
        if part in ("noun", "adjective"):
            end = place + 1
            if part == "noun" and _part_at(words, place + 1) != "noun":
                break
        elif not _within_noun_group(words, at, place, begun=end is not None):
            break
    return end


def _within_noun_group(words: Sequence[Word], at: int, place: int, *, begun: bool) -> bool:
    """Whether a noun group from `at` goes on at a word that is neither noun nor adjective.

    begun  whether the group has a noun or an adjective yet: no determiner stands behind one
    """
    word = words[place]
    text = word.text.lower()
    if text in (",", "and"):
        return place > at and words[place - 1].part == "adjective" == _part_at(words, place + 1)
    if text in DETERMINERS:
        return not begun
    return word.text[0].isdigit() or _is_adverb(word)


def _part_at(words: Sequence[Word], place: int) -> Part | None:
    return words[place].part if place < len(words) else None


def _lacks_its_noun(words: Sequence[Word], at: int, end: int) -> bool:
    """Whether a group of adjectives is followed by a plural that was taken for a verb: bird-like chirps."""
    nouns = any(word.part == "noun" for word in words[at:end])
    return not nouns and end < len(words) and words[end].part == "verb" and words[end].text.endswith("s")


def _is_adverb(word: Word) -> bool:
    text = word.text.lower()
    return word.part == "other" and (text.endswith("ly") or text in _ADVERBS)
