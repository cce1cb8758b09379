"""Student's t distribution, as every interval and test of this package uses it.

`scipy.special` takes a third of a second to import, so it is where a t is asked for; `scipy.stats` takes seconds for
the same two functions.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64, Int64

LEVEL = 0.95
"""Of every interval."""


def student_quantile(df: int, level: float = LEVEL) -> float:
    """The t that |t| exceeds with probability 1 − level."""
    from scipy.special import stdtrit

    return float(stdtrit(df, (1 + level) / 2))


def student_p_above(
    t: Float64[np.ndarray, "row column"], df: Int64[np.ndarray, " column"]
) -> Float64[np.ndarray, "row column"]:
    """One-sided p of Student's t, many at once: how likely as large a t is by chance. NaN for the p of NaN."""
    from scipy.special import stdtr

    return stdtr(df.clip(min=1).astype(np.float64), -t)
