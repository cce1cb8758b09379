"""Schemas of JSON values as functions: a check raises ValueError that names the place of what does not fit."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Check = Callable[[Any, str], None]
"""Of a value at a place, which is its path (`features[3].density`)."""
AllFit = Callable[[Sequence[Any]], bool]


def length(text: str) -> int:
    """Characters as JavaScript counts them: those beyond the basic plane are two."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def text(least: int = 0, most: float = math.inf, pattern: str = "") -> Check:
    """A text of so many characters, all of which the pattern matches; without NUL and halves of characters."""

    def check(value: Any, place: str) -> None:
        _require(isinstance(value, str), place, "a text", value)
        _require(least <= length(value) <= most, place, f"a text of {least} to {most} characters", value)
        whole = "\0" not in value and not any("\ud800" <= char <= "\udfff" for char in value)
        _require(whole, place, "a text that a database takes", value)
        _require(not pattern or re.fullmatch(pattern, value), place, f"a text like {pattern}", value)

    return check


def number(least: float = -math.inf, most: float = math.inf) -> Check:
    """A finite number in these bounds; true and false are none."""

    def check(value: Any, place: str) -> None:
        _require(_is_number(value) and math.isfinite(value), place, "a finite number", value)
        _require(least <= value <= most, place, f"from {least} to {most}", value)

    return check


def whole_number(least: int = 0, most: float = math.inf) -> Check:
    """An integer in these bounds."""

    def check(value: Any, place: str) -> None:
        _require(isinstance(value, int) and _is_number(value), place, "a whole number", value)
        _require(least <= value <= most, place, f"from {least} to {most}", value)

    return check


def truth(value: Any, place: str) -> None:
    """True or false."""
    _require(isinstance(value, bool), place, "true or false", value)


def nothing(value: Any, place: str) -> None:
    """Null: what is not known here."""
    _require(value is None, place, "null", value)


def nullable(check: Check) -> Check:
    """Null, or what another check takes."""

    def check_unless_null(value: Any, place: str) -> None:
        if value is not None:
            check(value, place)

    return check_unless_null


def several(of: Check, least: int = 0, most: float = math.inf, *, all_fit: AllFit | None = None) -> Check:
    """A list of so many.

    all_fit  whether every value of a long list clearly fits, all at once; where it says no they are looked at in turn
    """

    def check(value: Any, place: str) -> None:
        _require(isinstance(value, list), place, "a list", value)
        _require(least <= len(value) <= most, place, f"a list of {least} to {most}", value)
        if all_fit is not None and all_fit(value):
            return
        for index, each in enumerate(value):
            of(each, f"{place}[{index}]")

    return check


def record(fields: Mapping[str, Check]) -> Check:
    """An object with these fields: all of them, and no others."""

    def check(value: Any, place: str) -> None:
        _require(isinstance(value, dict), place, "an object", value)
        _require(value.keys() == fields.keys(), place, f"an object of {', '.join(fields)}", list(value))
        for name, of in fields.items():
            of(value[name], f"{place}.{name}" if place else name)

    return check


def are_finite_floats(values: Sequence[Any]) -> bool:
    """Whether all are floats and finite."""
    return set(map(type, values)) <= {float} and all(map(math.isfinite, values))


def are_plain_texts(values: Sequence[Any]) -> bool:
    """Whether all are texts of printable ASCII, and none is empty."""
    if not set(map(type, values)) <= {str} or not all(values):
        return False
    whole = "".join(values)
    return whole.isascii() and whole.isprintable()


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _require(fits: Any, place: str, wanted: str, value: Any) -> None:
    if not fits:
        raise ValueError(f"{place or 'it'} must be {wanted}, it is {str(value)[:80]!r}")
