"""Student's t distribution, two-sided, as every interval and test of this package uses it."""

from __future__ import annotations

from scipy.special import stdtr, stdtrit  # and not scipy.stats, which takes seconds to import for the same two

LEVEL = 0.95
"""Of every interval."""


def student_p(t: float, df: int) -> float:
    """Two-sided p of Student's t."""
    return float(2 * stdtr(df, -abs(t)))


def student_quantile(df: int, level: float = LEVEL) -> float:
    """The t that |t| exceeds with probability 1 − level."""
    return float(stdtrit(df, (1 + level) / 2))
