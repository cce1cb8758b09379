"""What captions have in common as a clause that a person would write: one of the captions, less what is its own.

A caption is cut into noun groups, verb groups and the words that join them. Groups with a word that is to be told stay,
and so does what holds them together where all the captions have it; adjectives and adverbs stay only if they are to be
told. Captions that share adjectives of different things speak of "a sound".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise, zip_longest

from .english import compounds
from .phrases import root
from .quoted import description
from .tagging import Part, Tagged, tag

_DETERMINERS = frozenset(
    "a an another any each every his her its many no several some that the their these this".split()
)
_RELATIVE = frozenset("that which who whose".split())
_NEGATIONS = frozenset("no not without never n't".split())
_AUXILIARIES = frozenset("am are be been being can could does has have is was were will would".split())
_ADVERBS = frozenset("away down fast off out slowly softly together up".split())
_PARTICLES = frozenset("back down forth fro in off on out over to under up".split())
_QUANTITIES = frozenset("pair pattern row run sequence series set string succession train".split())
_PLAIN_ADJECTIVES = frozenset("hi lo".split())


@dataclass(frozen=True)
class Word:
    """A word of a caption: its stem ("" of what says nothing of a sound); whether it is to be told, or shared.

    comma  whether one follows
    """

    text: str
    lemma: str
    part: Part
    stem: str
    told: bool = False
    shared: bool = False
    comma: bool = False


@dataclass(frozen=True)
class Group:
    """A noun group or a verb group, with the words that join it to what is before."""

    words: tuple[Word, ...]
    verbal: bool
    link: tuple[Word, ...] = ()
    breaks: bool = False

    @property
    def head(self) -> Word:
        """The noun, the last adjective where there is none, or the verb."""
        wanted = "verb" if self.verbal else "noun"
        return next((word for word in reversed(self.words) if word.part == wanted), self.words[-1])

    @property
    def told(self) -> bool:
        """Whether it has a word that is to be told."""
        return any(word.told for word in self.words)


def clause(captions: Sequence[str], told: frozenset[str], implied: frozenset[str] = frozenset()) -> str:
    """What the captions share, as a clause without a capital or a stop; "" if none of its words is in a description.

    told     the stems of the words that are to be told: all the captions have them
    implied  those of them that follow from the others: nouns of these are not told, unless nothing else is (a hit on a
             crash cymbal); verbs hold a clause together
    """
    described = [description(caption) for caption in captions]
    shared = frozenset.intersection(*(_stems(text) for text in described))
    links = frozenset.intersection(*(frozenset(compounds(text)) for text in described))
    best = min(described, key=lambda text: (-len(_stems(text) & told), len(text), text))
    groups = [
        replace(group, words=tuple(_marked(word, told, shared) for word in group.words)) for group in _groups(best)
    ]
    less = [replace(group, words=tuple(_less(word, implied) for word in group.words)) for group in groups]
    groups = less if any(group.told for group in less) else groups
    pieces = [_piece(run, links) for run in _runs(groups)]
    return _joined([piece for piece in pieces if piece])


def _marked(word: Word, told: frozenset[str], shared: frozenset[str]) -> Word:
    return replace(word, told=word.stem in told, shared=word.stem in shared)


def _less(word: Word, implied: frozenset[str]) -> Word:
    return replace(word, told=word.told and not (word.part == "noun" and word.stem in implied))


@lru_cache(maxsize=1 << 14)
def _stems(text: str) -> frozenset[str]:
    return frozenset(word.stem for group in _groups(text) for word in group.words if word.stem)


@lru_cache(maxsize=1 << 14)
def _groups(text: str) -> tuple[Group, ...]:
    """The noun groups and verb groups of a text, in order."""
    every = list(_words(tag(text)))
    words = [
        replace(word, comma=following is not None and following.text == ",")
        for word, following in zip_longest(every, every[1:])
    ]
    found: list[Group] = []
    link: list[Word] = []
    breaks = False
    at = 0
    while at < len(words):
        end = _verb_group(words, at) or _noun_group(words, at)
        if end is None:
            breaks |= not any(char.isalnum() for char in words[at].text)
            link.append(words[at])
            at += 1
            continue
        verbal = _verb_group(words, at) is not None
        if not verbal and _lacks_its_noun(words, at, end):
            words[end] = replace(words[end], part="noun")
            end += 1
        found.append(Group(tuple(words[at:end]), verbal, tuple(w for w in link if w.text[0].isalpha()), breaks))
        link, breaks, at = [], False, end
    return tuple(found)


def _words(tagged: Sequence[Tagged]) -> Iterator[Word]:
    """The words with their stems; one after a negation has that of "no loudness"."""
    denied = False
    for word, lemma, part in tagged:
        stem = root(word) if word[0].isalnum() else ""
        if word.lower() in _PLAIN_ADJECTIVES:
            part = "adjective"
        yield Word(word, lemma, part, f"no {stem}" if stem and denied else stem or "")
        denied = stem is None or (denied and not stem and word[0].isalnum())


def _verb_group(words: Sequence[Word], at: int) -> int | None:
    """Where the verb group that begins at a place ends; None if none does."""
    end = at
    while end < len(words) and (words[end].text.lower() in _AUXILIARIES | _NEGATIONS or _is_adverb(words[end])):
        end += 1
    if end == len(words) or words[end].part != "verb":
        return None
    end += 1
    while end < len(words):
        pair = [word.text.lower() for word in words[end : end + 3]]
        if len(pair) == 3 and pair[1] == "and" and {pair[0], pair[2]} <= _PARTICLES:
            end += 3
        elif _is_adverb(words[end]):
            end += 1
        else:
            break
    return end


def _noun_group(words: Sequence[Word], at: int) -> int | None:
    """Where the noun group that begins at a place ends; None if none does."""
    end = at
    last = None
    while end < len(words):
        word = words[end]
        if word.part in ("noun", "adjective"):
            last = end + 1
            if word.part == "noun" and not (end + 1 < len(words) and words[end + 1].part == "noun"):
                break
        elif word.text == "," or word.text.lower() == "and":
            following = words[end + 1].part if end + 1 < len(words) else "other"
            if words[end - 1].part != "adjective" or following != "adjective" or end == at:
                break
        elif not (word.text.lower() in _DETERMINERS or word.text[0].isdigit() or _is_adverb(word)) or (
            last is not None and word.text.lower() in _DETERMINERS
        ):
            break
        end += 1
    return last


def _lacks_its_noun(words: Sequence[Word], at: int, end: int) -> bool:
    """Whether a group of adjectives is followed by a plural that was taken for a verb: bird-like chirps."""
    nouns = any(word.part == "noun" for word in words[at:end])
    return not nouns and end < len(words) and words[end].part == "verb" and words[end].text.endswith("s")


def _is_adverb(word: Word) -> bool:
    text = word.text.lower()
    return word.part == "other" and (text.endswith("ly") or text in _ADVERBS)


def _runs(groups: Sequence[Group]) -> Iterator[list[Group]]:
    """Stretches of groups that are told, with what holds them together where all the captions have it."""
    run: list[Group] = []
    waiting: list[Group] = []
    groups = _without_dangling(groups)
    for place, group in enumerate(groups):
        if group.told:
            if not run:
                run = [*_before(groups, place), group]
            elif all(one.head.shared for one in waiting) and not (group.breaks and waiting):
                run += [*waiting, group]
            else:
                yield run
                run = [*_before(groups, place), group]
            waiting = []
        elif run:
            waiting.append(group)
    if run:
        after = waiting[:1]
        quantity = run[-1].head
        if after and _is_of(after[0]) and quantity.lemma in _QUANTITIES and (quantity.told or quantity.shared):
            run.append(after[0])
        yield run


def _without_dangling(groups: Sequence[Group]) -> Sequence[Group]:
    """Groups that stand by a verb which is not shared are not told, unless nothing else is: "(falling) in pitch"."""
    dangling = {
        place
        for place, (verb, group) in enumerate(pairwise(groups), 1)
        if verb.verbal and not (verb.told or verb.head.shared) and group.link and group.link[0].text.lower() == "in"
    }
    if all(place in dangling or not group.told for place, group in enumerate(groups)):
        return groups
    return [
        replace(group, words=tuple(replace(word, told=False) for word in group.words)) if place in dangling else group
        for place, group in enumerate(groups)
    ]


def _before(groups: Sequence[Group], place: int) -> list[Group]:
    """What a group cannot stand without: the subject of a verb, and what a relative pronoun stands for."""
    if not place or not (groups[place].verbal or _relative(groups[place])):
        return []
    earlier = groups[place - 1]
    if earlier.verbal:
        return []
    if _relative(earlier) and place > 1:
        return [groups[place - 2], earlier]
    return [earlier] if earlier.head.shared or _relative(groups[place]) else []


def _relative(group: Group) -> bool:
    return bool(group.link) and group.link[-1].text.lower() in _RELATIVE


def _is_of(group: Group) -> bool:
    return [word.text.lower() for word in group.link] == ["of"]


def _piece(run: Sequence[Group], links: frozenset[str]) -> tuple[str, str]:
    """A stretch in words, and what joins it to an earlier stretch."""
    said: list[str] = []
    for place, group in enumerate(run):
        words = _verbal(group, links, alone=len(run) == 1) if group.verbal else _nominal(group)
        link = [word.text for word in group.link]
        if place == 0:
            denied = [word for word in link if word.lower() in _NEGATIONS]
            said += ["no"] if denied and words[:1] != ["no"] else []
            words = [word for word in words if not (denied and word.lower() in ("a", "an", "any"))]
        elif said and words:
            if group.breaks:
                said[-1] += ","
            said += link
        said += words
    first = run[0]
    if first.verbal and not any(word.text.lower() in _AUXILIARIES for word in first.words):
        joint = ", "
    elif first.link and not _relative(first) and first.link[-1].part == "preposition" and first.link[-1].text in links:
        joint = f" {first.link[-1].text} "
    else:
        joint = " and "
    return " ".join(said), joint


def _nominal(group: Group) -> list[str]:
    """A noun group less the adjectives that are not to be told; a head that is not shared is a sound."""
    head = group.head
    modifiers = [word for word in group.words if word is not head and word.part in ("adjective", "noun")]
    kept = [word for word, next_one in pairwise([*modifiers, head]) if word.told or (not word.stem and next_one.told)]
    noun = head.text
    if head.part != "noun":
        kept, noun = kept if head in kept or not head.told else [*kept, head], "sound"
    elif not (head.told or head.shared):
        plain = "sounds" if _is_plural(head) else "sound"
        noun = kept.pop().text if kept and kept[-1].part == "noun" else plain
    determiner = next((word.text.lower() for word in group.words if word.text.lower() in _DETERMINERS), "")
    said = [
        f"{word.text}," if word.comma and following.part == "adjective" else word.text
        for word, following in pairwise(kept)
    ]
    said += [word.text for word in kept[-1:]]
    phrase = [*said, noun]
    if determiner in ("a", "an") and noun == head.text and _is_plural(head):
        determiner = ""  # "a tubular bells", as data have it
    elif determiner in ("a", "an") or (not determiner and noun == "sound" and head.text != "sound"):
        determiner = _article(phrase[0])
    elif determiner in _RELATIVE:
        determiner = ""
    return [*([determiner] if determiner else []), *phrase]


def _is_plural(noun: Word) -> bool:
    return noun.text.lower() != noun.lemma.lower() and noun.text.endswith("s")


def _verbal(group: Group, links: frozenset[str], *, alone: bool) -> list[str]:
    """A verb group less the adverbs that are not to be told; one that stands alone is a gerund.

    links  words that all the captions have: of particles (up and down) the whole, or nothing
    """
    after = {word.text.lower() for word in group.words[group.words.index(group.head) + 1 :] if not word.stem}
    dropped = after if not after <= links else frozenset[str]()
    kept = [word for word in group.words
            if word.told or word.part == "verb" or not (word.stem or word.text.lower() in dropped)]  # fmt: skip
    if not alone:
        return [word.text for word in kept]
    verb = group.head
    if verb.text.lower().endswith("ing") or verb.text.lower().endswith("ed"):
        return [word.text.lower() for word in kept if word.text.lower() not in _AUXILIARIES]
    rest = [word.text for word in kept if word is not verb and word.text.lower() not in _AUXILIARIES]
    return [_gerund(verb.lemma), *rest]


def _gerund(verb: str) -> str:
    if verb.endswith("ie"):
        return f"{verb[:-2]}ying"
    if verb.endswith("e") and not verb.endswith(("ee", "oe", "ye")):
        return f"{verb[:-1]}ing"
    doubled = len(verb) == 3 and verb[-1] in "bdgmnpt" and verb[-2] in "aeiou" and verb[-3] not in "aeiou"
    return f"{verb}{verb[-1]}ing" if doubled else f"{verb}ing"


def _article(word: str) -> str:
    lower = word.lower()
    if lower.startswith(("one", "uni", "use", "eu", "uku")) and not lower.startswith("unin"):
        return "a"
    return "an" if lower[:1] in "aeiou" or lower.startswith(("hour", "honest")) else "a"


def _joined(pieces: Sequence[tuple[str, str]]) -> str:
    text = ""
    for words, joint in pieces:
        text = f"{text}{joint}{words}" if text else words
    return text
