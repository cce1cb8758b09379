"""Numbers and text as a page has them."""

from __future__ import annotations

import pytest

from and_nnsight.look.rendering import shown
from and_nnsight.look.wording import digits_for, percent, signed


@pytest.mark.parametrize(
    ("share", "text"),
    [(0, "0 %"), (1, "100 %"), (0.004, "under 1 %"), (0.9999, "over 99 %"), (0.5, "50 %"), (0.123, "12 %")],
)
def test_percent(share: float, text: str) -> None:
    assert percent(share) == text


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [(-0.0, 2, "0.00"), (-0.001, 2, "0.00"), (-0.17, 2, "\N{MINUS SIGN}0.17"), (4.356, 2, "4.36"), (1234.5, 0, "1234")],
)
def test_signed(value: float, digits: int, text: str) -> None:
    assert signed(value, digits) == text


@pytest.mark.parametrize(
    ("largest", "digits"), [(4.36, 2), (43.6, 1), (436, 0), (4e5, 0), (0.0436, 4), (0, 2), (1e-30, 8)]
)
def test_three_digits_tell_activations_apart(largest: float, digits: int) -> None:
    assert digits_for(largest) == digits


def test_text_is_shortened_and_on_one_line() -> None:
    assert shown("a\nb\x00c\u202ed", 99) == "a b c d"
    assert shown("w" * 10**6, 10) == "w" * 9 + "…"
    assert shown(None, 10) == "None"
