"""Student's t distribution, two-sided, as every interval and test of this package uses it.

`scipy.special` takes a third of a second to import, so it is where a t is asked for; `scipy.stats` takes seconds for
the same two functions.
"""

from __future__ import annotations

LEVEL = 0.95
"""Of every interval."""


def student_p(t: float, df: int) -> float:
    """Two-sided p of Student's t."""
    from scipy.special import stdtr

    return float(2 * stdtr(df, -abs(t)))


def student_quantile(df: int, level: float = LEVEL) -> float:
    """The t that |t| exceeds with probability 1 − level."""
    from scipy.special import stdtrit

    return float(stdtrit(df, (1 + level) / 2))
