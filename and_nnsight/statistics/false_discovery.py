"""Of the claims that are said to hold, how many may be false? Benjamini & Hochberg's q."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64


def false_discovery_rates(p: Float64[np.ndarray, " claim"]) -> Float64[np.ndarray, " claim"]:
    """The q of each p: the lowest false-discovery rate at which it would still be among the discoveries.

    Among claims with q ≤ 0.05 no more than 5 % are expected to be false, if their p are independent or go together
    (Benjamini & Hochberg 1995, Benjamini & Yekutieli 2001). q(i) = min over j ≥ i of p(j) · m / j, p ascending.
    """
    count = len(p)
    order = np.argsort(p, kind="stable")
    scaled = p[order] * count / np.arange(1, count + 1)
    rates = np.empty(count)
    rates[order] = np.minimum.accumulate(scaled[::-1])[::-1].clip(max=1.0)
    return rates
