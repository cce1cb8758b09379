"""Answers of plugins matched to what was asked, whatever the plugin does."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from ...plugins import PluginError
from ..roles import Failure

T = TypeVar("T")
LONGEST_ANSWER = 2**20
"""Characters: reasoning included, no model means to say more."""
_FRUITLESS_CALLS = 3
_END = object()


def match_answers(
    ask: Callable[[list[T]], Any], items: Sequence[T], *, paired: bool = False
) -> Iterator[tuple[int, Any]]:
    """The place of every item with its answer, each place once, as the answers come.

    Where an answer is missing there is a Failure: for all that a list of the wrong length was given for, for the rest
    when answers run out, for the last when more come than there are items. When `ask` raises, the item that was due has
    failed, and the others are asked again; they fail too when three calls in a row bring nothing.

    ask     gives an iterable of answers to a list of items, in their order; or, if `paired`, of pairs of an item's
            place in the list and its answer, in any order
    items   what is asked
    paired  see `ask`

    Raises PluginError where `ask` does: it is the user's to mend, and concerns every item.
    """
    left, fruitless = list(range(len(items))), 0
    while left:
        places, answered, error = left, set[int](), None
        try:
            for place, answer in _matches(ask([items[index] for index in places]), len(places), paired):
                answered.add(places[place])
                yield places[place], _bounded(answer)
        except PluginError:
            raise
        except Exception as raised:
            error = raised
        left = sorted(set(places) - answered)
        if error is None:
            yield from _each(left, Failure(f"no answer: {len(answered)} came for {len(places)}"))
            return
        fruitless = 0 if answered else fruitless + 1
        failing = len(left) if fruitless == _FRUITLESS_CALLS else 1
        yield from _each(left[:failing], Failure(f"it raised {type(error).__name__}: {error}"))
        left = left[failing:]


def _bounded(answer: Any) -> Any:
    """An answer of a length that answers have, else a Failure."""
    if not isinstance(answer, str) or len(answer) <= LONGEST_ANSWER:
        return answer
    return Failure(f"its answer is {len(answer):,} characters long: no more than {LONGEST_ANSWER:,} are read")


def _each(places: Iterable[int], failure: Failure) -> Iterator[tuple[int, Failure]]:
    return ((place, failure) for place in places)


def _matches(answers: Any, expected: int, paired: bool) -> Iterator[tuple[int, Any]]:
    """Places with answers, no place twice; places of which nothing comes are left out."""
    if isinstance(answers, str | bytes | Mapping | Failure):
        raise TypeError(f"one {type(answers).__name__} came, not one answer each")
    return _of_pairs(answers, expected) if paired else _of_list(answers, expected)


def _of_pairs(answers: Iterable[tuple[int, Any]], expected: int) -> Iterator[tuple[int, Any]]:
    waiting = set(range(expected))
    for place, answer in answers:
        if not waiting:  # asked for once more than it has, so that it can end by itself
            return
        if place in waiting:
            waiting.remove(place)
            yield place, answer


def _of_list(answers: Any, expected: int) -> Iterator[tuple[int, Any]]:
    count = len(answers) if hasattr(answers, "__len__") else expected
    if count != expected:
        yield from _each(range(expected), Failure(f"{count} answers came for {expected}"))
        return
    stream = iter(answers)
    for place, answer in zip(range(expected), stream, strict=False):
        if place == expected - 1 and next(stream, _END) is not _END:
            answer = Failure(f"more than {expected} answers came for {expected}")
        yield place, answer
