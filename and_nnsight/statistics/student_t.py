"""Student's t distribution, in plain Python: scipy is no dependency of this package."""

from __future__ import annotations

import math
from functools import lru_cache

LEVEL = 0.95
"""Of every interval."""
_TINY = 1e-300


def student_p(t: float, df: int) -> float:
    """Two-sided p of Student's t."""
    return _incomplete_beta(df / 2, 0.5, df / (df + t * t))


@lru_cache(maxsize=1024)
def student_quantile(df: int, level: float = LEVEL) -> float:
    """The t that |t| exceeds with probability 1 − level."""
    low, high = 0.0, 1.0
    while student_p(high, df) > 1 - level:
        low, high = high, 2 * high
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if student_p(middle, df) > 1 - level else (low, middle)
    return (low + high) / 2


def _incomplete_beta(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function, by its continued fraction on the side where that converges fast."""
    if x <= 0 or x >= 1:
        return float(x > 0)
    if x > (a + 1) / (a + b + 2):
        return 1 - _incomplete_beta(b, a, 1 - x)
    front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    # Lentz's method
    ratio, before = 1.0, 1 / _away(1 - (a + b) * x / (a + 1))
    value = before
    for step in range(1, 10_000):
        twice = a + 2 * step
        for term in (
            step * (b - step) * x / ((twice - 1) * twice),
            -(a + step) * (a + b + step) * x / (twice * (twice + 1)),
        ):
            before = 1 / _away(1 + term * before)
            ratio = _away(1 + term / ratio)
            value *= before * ratio
        if abs(before * ratio - 1) < 1e-15:
            break
    return math.exp(front) * value / a


def _away(value: float) -> float:
    """Not zero, for what is divided by it."""
    return value if abs(value) > _TINY else _TINY
