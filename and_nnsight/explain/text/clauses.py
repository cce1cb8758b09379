"""What captions have in common as a clause that a person would write: one of the captions, less what is its own.

A caption is cut into groups of words (`word_groups`). Groups with a key word stay, and so does what holds them
together where all the captions have it (`stretches`); adjectives and adverbs stay only if they are key words. Captions
that share adjectives of different things speak of "a sound".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from .english import compounds
from .inflection import article, gerund
from .quotes import description
from .stretches import is_relative, stretches
from .word_groups import AUXILIARIES, DETERMINERS, NEGATIONS, RELATIVE, Group, Word, stems, word_groups

_DONE = frozenset("beat blow bow hit pick play pluck press record rub scrape shake strike strum tap".split())
"""Verbs of what is done to an instrument or a note: after a noun, their participle is a passive."""
_NOUN_AND_VERB = 2


@dataclass(frozen=True)
class _Piece:
    """A stretch of groups in words, and what joins it to an earlier piece."""

    text: str
    joint: str


def clause(captions: Sequence[str], key_stems: frozenset[str], implied: frozenset[str] = frozenset()) -> str:
    """What the captions share, as a clause without a capital or a stop; "" if none of its words is in a description.

    key_stems  the stems of the words that the clause has to have: all the captions have them
    implied    those of them that follow from the others: nouns of these are left out, unless nothing else is left (a
               hit on a crash cymbal); verbs hold a clause together
    """
    descriptions = [description(caption) for caption in captions]
    shared = frozenset.intersection(*(stems(text) for text in descriptions))
    links = frozenset.intersection(*(frozenset(compounds(text)) for text in descriptions))
    best = min(descriptions, key=lambda text: (-len(stems(text) & key_stems), len(text), text))
    groups = _less_implied([_marked(group, key_stems, shared) for group in word_groups(best)], implied)
    whole = [_finite(stretch) for stretch in stretches(groups)]
    return _join([piece for piece in (_piece(stretch, links) for stretch in whole) if piece.text])


def _marked(group: Group, key_stems: frozenset[str], shared: frozenset[str]) -> Group:
    words = (replace(word, key=word.stem in key_stems, shared=word.stem in shared) for word in group.words)
    return replace(group, words=tuple(words))


def _less_implied(groups: list[Group], implied: frozenset[str]) -> list[Group]:
    """The groups, in which nouns that follow from other words are no key words, unless no key word would be left."""
    less = [replace(group, words=tuple(_less_if_implied(word, implied) for word in group.words)) for group in groups]
    return less if any(group.key for group in less) else groups


def _less_if_implied(word: Word, implied: frozenset[str]) -> Word:
    return replace(word, key=False) if word.part == "noun" and word.stem in implied else word


def _finite(stretch: list[Group]) -> list[Group]:
    """A stretch that ends with what is done to its noun (a note played, on different things) says that it is done."""
    if len(stretch) != _NOUN_AND_VERB or stretch[0].verbal:
        return stretch
    noun, verb = stretch
    first = verb.words[0]
    if verb.link or verb.breaks or first.lemma not in _DONE or first.text.lower() in (first.lemma, f"{first.lemma}s"):
        return stretch
    if first.text.lower().endswith("ing"):
        return stretch
    told = "are" if _is_plural(noun.head) else "is"
    return [noun, replace(verb, words=(replace(first, text=told, lemma="be", stem=""), *verb.words))]


def _piece(stretch: Sequence[Group], links: frozenset[str]) -> _Piece:
    text: list[str] = []
    for place, group in enumerate(stretch):
        words = _verbal(group, links, alone=len(stretch) == 1) if group.verbal else _nominal(group)
        if place == 0:
            text = _with_denial(group, words)
        elif text and words:
            if group.breaks:
                text[-1] += ","
            text += [*(word.text for word in group.link), *words]
        else:
            text += words
    return _Piece(" ".join(text), _joint(stretch[0], links))


def _with_denial(group: Group, words: list[str]) -> list[str]:
    """The words of a group after "no" where one of the words before it denies it."""
    if not any(word.text.lower() in NEGATIONS for word in group.link):
        return words
    rest = [word for word in words if word.lower() not in ("a", "an", "any")]
    return rest if words[:1] == ["no"] else ["no", *rest]


def _joint(first: Group, links: frozenset[str]) -> str:
    """What joins a stretch to an earlier one, by the group that it begins with."""
    if first.verbal and not any(word.text.lower() in AUXILIARIES for word in first.words):
        return ", "
    if first.link and not is_relative(first):
        last = first.link[-1]
        if last.part == "preposition" and last.text in links:
            return f" {last.text} "
    return " and "


def _nominal(group: Group) -> list[str]:
    """A noun group less the adjectives that are no key words."""
    modifiers, noun = _modifiers_and_noun(group)
    phrase = [*_with_commas(modifiers), noun]
    determiner = _determiner(group, noun, phrase[0])
    return [determiner, *phrase] if determiner else phrase


def _modifiers_and_noun(group: Group) -> tuple[list[Word], str]:
    """What stands before the noun, and the noun; a head that is not shared is a sound."""
    head, modifiers = group.head, _modifiers(group)
    if head.part != "noun":
        return [*modifiers, head] if head.key and head not in modifiers else modifiers, "sound"
    if head.key or head.shared:
        return modifiers, head.text
    if modifiers and modifiers[-1].part == "noun":
        return modifiers[:-1], modifiers[-1].text
    return modifiers, "sounds" if _is_plural(head) else "sound"


def _modifiers(group: Group) -> list[Word]:
    """The adjectives and nouns before the head that are key words, and words without a stem before such a one."""
    head = group.head
    words = [word for word in group.words if word is not head and word.part in ("adjective", "noun")]
    return [word for word, after in pairwise([*words, head]) if word.key or (not word.stem and after.key)]


def _with_commas(modifiers: Sequence[Word]) -> list[str]:
    """Modifiers, those with a comma that had one before another adjective."""
    texts = [
        f"{word.text}," if word.comma and after.part == "adjective" else word.text
        for word, after in pairwise(modifiers)
    ]
    return [*texts, *(word.text for word in modifiers[-1:])]


def _determiner(group: Group, noun: str, first: str) -> str:
    """The determiner of a noun group that begins with a word `first`; "" for none."""
    head = group.head
    own = next((word.text.lower() for word in group.words if word.text.lower() in DETERMINERS), "")
    if own in ("a", "an"):
        is_plural = noun == head.text and _is_plural(head)
        return "" if is_plural else article(first)  # "a tubular bells", as data have it
    if not own:
        return article(first) if noun == "sound" and head.text != "sound" else ""
    return "" if own in RELATIVE else own


def _is_plural(noun: Word) -> bool:
    return noun.text.lower() != noun.lemma.lower() and noun.text.endswith("s")


def _verbal(group: Group, links: frozenset[str], *, alone: bool) -> list[str]:
    """A verb group less the adverbs that are no key words; one that stands alone is a gerund.

    links  words that all the captions have: of particles (up and down) the whole, or nothing
    """
    words = _without_adverbs(group, links)
    if not alone:
        return [word.text for word in words]
    verb = group.head
    rest = [word for word in words if word.text.lower() not in AUXILIARIES]
    if verb.text.lower().endswith(("ing", "ed")):
        return [word.text.lower() for word in rest]
    return [gerund(verb.lemma), *(word.text for word in rest if word is not verb)]


def _without_adverbs(group: Group, links: frozenset[str]) -> list[Word]:
    after = group.words[group.words.index(group.head) + 1 :]
    particles = {word.text.lower() for word in after if not word.stem}
    left_out = frozenset[str]() if particles <= links else particles

    def stays(word: Word) -> bool:
        return word.key or word.part == "verb" or not (word.stem or word.text.lower() in left_out)

    return [word for word in group.words if stays(word)]


def _join(pieces: Sequence[_Piece]) -> str:
    text = ""
    for piece in pieces:
        text = f"{text}{piece.joint}{piece.text}" if text else piece.text
    return text
