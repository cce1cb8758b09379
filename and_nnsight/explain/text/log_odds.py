"""How far a phrase is over-represented in a few captions: weighted log-odds, gains in nats, and bars of chance.

The z-score is that of Monroe, Colaresi and Quinn, "Fightin' Words" (Political Analysis, 2008), over captions: the
log-odds that a caption has a phrase, less those in a reference, over their standard deviation, with a Dirichlet prior
that is the corpus at the weight of one caption.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64, Int64

CHANCE = 0.05
"""Share of units with random clips that are given any phrase at all."""

Counts = Int64[np.ndarray, " phrase"]
Numbers = Float64[np.ndarray, " phrase"]


def z_scores(counts: Counts, of: int, prior: Numbers, reference: Numbers, size: int) -> Numbers:
    """Log-odds of counts out of `of`, with a prior worth one caption, less those of a reference out of `size`."""
    counted_in, reference_in = counts + prior, reference * size
    delta = np.log(counted_in / (of + 1 - counted_in)) - np.log(reference_in / (size - reference_in))
    variance = 1 / counted_in + 1 / (of + 1 - counted_in) + 1 / reference_in + 1 / (size - reference_in)
    return delta / np.sqrt(variance)


def prior_rates(counts: Numbers, size: int) -> Numbers:
    """The rate of phrases in a corpus, by in how many of its captions they are; kept off 0: a caption may be new."""
    return np.maximum(counts, 0.5) / (size + 1)


def reference_rates(prior: Numbers, there: Numbers, of: int) -> Numbers:
    """Half way from the corpus's rates to those among captions of a unit's other end, `there` out of `of`."""
    return (prior + (there + prior) / (of + 1)) / 2


def gains_in_nats(shares: Numbers, rates: Numbers, size: int) -> Numbers:
    """The log-likelihood ratio of so many captions at a share of their own and at a given rate; signed."""
    own = shares.clip(0.5 / (size + 1), 1 - 0.5 / (size + 1))
    gains = size * (own * np.log(own / rates) + (1 - own) * np.log((1 - own) / (1 - rates)))
    return np.where(own > rates, gains, -gains)


def divergence(shares: Sequence[float], rates: Sequence[float], size: int, corpus_size: int) -> float:
    """The log-likelihood ratio, in nats, of captions that fall into kinds at shares of their own and at given rates.

    What is left to 1 on either side is one more kind.

    size         captions
    corpus_size  captions of the corpus, which keep the rates off 0
    """
    least = 0.5 / (size + 1)
    own = np.array([*shares, 1 - sum(shares)]).clip(least, 1 - least)
    background = np.array([*rates, 1 - sum(rates)]).clip(0.5 / (corpus_size + 1), 1.0)
    terms = own / own.sum() * np.log(own / own.sum() / background * background.sum())
    return size * float(terms.sum())


def bars_of_chance(best: Float64[np.ndarray, "draw count"]) -> Numbers:
    """The bars that are exceeded at each count in one and the same share of the draws, at any in CHANCE of them.

    best  the highest z-score of each draw at each count. Counts that hardly occur by chance use up none of it
    """
    highest_last = np.sort(best, axis=0)
    bars = highest_last[-1]
    for exceeding in range(1, round(CHANCE * len(best)) + 1):
        lower = highest_last[-1 - exceeding]
        if (best > lower).any(1).mean() > CHANCE:
            break
        bars = lower
    return bars
