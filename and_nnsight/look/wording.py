"""How numbers read on a page."""

from __future__ import annotations

import math


def percent(share: float) -> str:
    """A share as a person writes it: never 100 % of what is not all, nor 0 % of what is not none."""
    if 0 < share < 0.01:
        return "under 1 %"
    if 0.99 < share < 1:
        return "over 99 %"
    return f"{100 * share:.0f} %"


def signed(value: float, digits: int) -> str:
    """A number with so many digits behind its point, and a true minus; what rounds to 0 has no sign."""
    text = f"{value:.{digits}f}"
    return f"{abs(float(text)):.{digits}f}" if float(text) == 0 else text.replace("-", "\N{MINUS SIGN}")


def digits_for(largest: float) -> int:
    """Digits behind the point with which numbers up to so much are told apart: three in all."""
    return 2 if largest <= 0 or not math.isfinite(largest) else min(8, max(0, 2 - math.floor(math.log10(largest))))
