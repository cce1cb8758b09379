"""Which groups of a caption are told together: those with a key word, and what holds them together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

from .word_groups import RELATIVE, Group

_QUANTITIES = frozenset("pair pattern row run sequence series set string succession train".split())


def stretches(groups: Sequence[Group]) -> Iterator[list[Group]]:
    """Stretches of groups with key words, with what holds them together where all the captions have it."""
    stretch: list[Group] = []
    between: list[Group] = []
    groups = _without_dangling(groups)
    for place, group in enumerate(groups):
        if not group.key:
            between += [group] if stretch else []
            continue
        if stretch and not _holds_together(between, group):
            yield stretch
            stretch = []
        stretch = [*stretch, *between, group] if stretch else [*_before(groups, place), group]
        between = []
    if stretch:
        yield [*stretch, *_measure_of(stretch[-1], between)]


def _holds_together(between: Sequence[Group], group: Group) -> bool:
    """Whether a group goes on with the stretch before it, past the groups between."""
    return all(other.head.shared for other in between) and not (group.breaks and between)


def _measure_of(last: Group, rest: Sequence[Group]) -> Sequence[Group]:
    """What a quantity at the end of a stretch is of: a row (of knocks)."""
    quantity = last.head
    is_told = quantity.lemma in _QUANTITIES and (quantity.key or quantity.shared)
    return rest[:1] if is_told and rest and _is_of(rest[0]) else ()


def _without_dangling(groups: Sequence[Group]) -> Sequence[Group]:
    """Groups are not told, unless nothing else is, that lean on what is not told.

    That is a verb before them, "(falling) in pitch", or a number in them: "a vibrato of (4.9) swings".
    """
    leaning = ((place, _dangles(*pair) or _is_measure(*pair)) for place, pair in enumerate(pairwise(groups), 1))
    dangling = {place for place, leans in leaning if leans}
    if all(place in dangling or not group.key for place, group in enumerate(groups)):
        return groups
    return [_without_keys(group) if place in dangling else group for place, group in enumerate(groups)]


def _dangles(verb: Group, group: Group) -> bool:
    by_verb = verb.verbal and not (verb.key or verb.head.shared)
    return by_verb and bool(group.link) and group.link[0].text.lower() == "in"


def _is_measure(before: Group, group: Group) -> bool:
    """Whether a number of a group says how much of the one before there is; a row of 5 knocks is still of knocks."""
    return group.counted and _is_of(group) and before.head.lemma not in _QUANTITIES


def _without_keys(group: Group) -> Group:
    return replace(group, words=tuple(replace(word, key=False, shared=False) for word in group.words))


def _before(groups: Sequence[Group], place: int) -> list[Group]:
    """What a group cannot stand without: the subject of a verb, and what a relative pronoun stands for."""
    if not place or not (groups[place].verbal or is_relative(groups[place])):
        return []
    earlier = groups[place - 1]
    if earlier.verbal:
        return []
    if is_relative(earlier) and place > 1:
        return [groups[place - 2], earlier]
    return [earlier] if earlier.head.shared or is_relative(groups[place]) else []


def is_relative(group: Group) -> bool:
    """Whether a relative pronoun joins a group to what is before."""
    return bool(group.link) and group.link[-1].text.lower() in RELATIVE


def _is_of(group: Group) -> bool:
    return [word.text.lower() for word in group.link] == ["of"]
