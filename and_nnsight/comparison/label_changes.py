"""Whether more units of the one dissection answer to a label than of the other, or other clips would say otherwise.

Units are not independent of each other: hundreds may answer to the same few clips, and would all be lost with these.
So what is drawn at random is clips, with replacement, the same for both dissections (Efron's bootstrap): in each draw
every unit's list, its commonest label and how many clips bear it are counted again, and whether that is
over-represented is judged by the same rule. The models stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64
from scipy import sparse
from scipy.special import gammaln

from ..statistics.bootstrap import RESAMPLES, percentile_interval
from ..statistics.false_discovery import false_discovery_rates
from .sides import Side

_DRAWS_A_LABEL = 40  # so many that of all labels a single one can be told: 2 / draws, times the labels, is 0.05
_AT_ONCE = 32
_FEWEST = 2  # clips of a unit that share a label
_NUMBERS = 2**21  # that are looked at together
_SAME = 1e-9  # of p, by which two ways of summing may differ


@dataclass(frozen=True)
class LabelChange:
    """By how much the share of units that answer to a label is larger in the second dissection.

    low, high  95 % of the draws of clips lie between
    p, q       that the difference lies on the other side of zero, or is none (two-sided), and the false-discovery rate
               over all labels that units of either answer to
    """

    difference: float
    low: float
    high: float
    p: float
    q: float


def label_changes(
    first: Side, second: Side, holding: Sequence[str], cutoff: float, seed: int
) -> dict[str, LabelChange]:
    """Of labels that a unit of either holds.

    cutoff  the p up to which units are said to answer to their label (see `Side.label_p`): Benjamini & Hochberg's
    """
    if not holding:
        return {}
    lists = [LabelledLists.of(side, holding, cutoff) for side in (first, second)]
    changes = changes_over_draws(lists, max(RESAMPLES, _DRAWS_A_LABEL * len(holding)), seed)
    return dict(zip(holding, changes, strict=True))


def changes_over_draws(lists: Sequence[LabelledLists], draws: int, seed: int) -> list[LabelChange]:
    """The change of every label that is asked about, from the first lists to the second."""
    random, clips = np.random.default_rng([seed, 2]), lists[0].of_clips.shape[0]
    replicates = np.empty((draws, len(lists[0].asked)))
    for start in range(0, draws, _AT_ONCE):
        size = min(_AT_ONCE, draws - start)
        weights = random.multinomial(clips, np.full(clips, 1 / clips), size).T
        replicates[start : start + size] = _difference(lists, weights)
    itself = _difference(lists, np.ones((clips, 1), np.int64))[0]
    above, below = ((1 + (sign * replicates >= 0).sum(0)) / (1 + draws) for sign in (1, -1))
    p = np.minimum(1.0, 2 * np.minimum(above, below))
    q = false_discovery_rates(p)
    return [
        LabelChange(float(itself[at]), *percentile_interval(replicates[:, at]), float(p[at]), float(q[at]))
        for at in range(len(p))
    ]


def _difference(
    lists: Sequence[LabelledLists], weights: Int64[np.ndarray, "clip draw"]
) -> Float64[np.ndarray, "draw label"]:
    """Of the shares of units that answer to each label."""
    shares = [each.answering(weights) / max(1, each.units) for each in lists]
    return shares[1] - shares[0]


@dataclass(frozen=True, eq=False)
class LabelledLists:
    """The clips that are evidence of units, and their labels.

    units    of the dissection that are compared
    asked    which of all labels, in the order of the alphabet, are asked about
    of_clips clip by label, which it bears
    shared   (a unit, a label) by clip: where it is evidence of the unit and bears the label. Only labels that at least
             two clips of a unit share, only units of which one is at all over-represented; ordered by units
    listed   the units of `shared` by clip: where it is evidence
    first    where in `shared` each of those units begins; label: of each row of `shared`
    level    p of the hypergeometric distribution from which on a label is not over-represented
    """

    units: int
    asked: Int64[np.ndarray, " label"]
    of_clips: sparse.csr_array
    shared: sparse.csr_array
    listed: sparse.csr_array
    first: Int64[np.ndarray, " unit"]
    label: Int64[np.ndarray, " row"]
    level: float

    @classmethod
    def of(cls, side: Side, names: Sequence[str], cutoff: float) -> LabelledLists:
        """Of a side of a comparison."""
        labels = [side.dissection.clips[clip].label or None for clip in side.clips]
        near = [at for at, p in side.label_p.items() if p < 1]
        return cls.made(names, labels, [side.exemplars[at] for at in near], len(side.units), cutoff)

    @classmethod
    def made(
        cls,
        names: Sequence[str],
        labels: Sequence[str | None],
        lists: Sequence[frozenset[int]],
        units: int,
        cutoff: float,
    ) -> LabelledLists:
        """Of the labels of all clips, and the lists of some of so many units."""
        there = {label for label in labels if label}
        number: Mapping[str | None, int] = {name: place for place, name in enumerate(sorted(there.union(names)))}
        codes = np.array([number.get(label, -1) for label in labels], np.int64)
        sizes = np.array([len(each) for each in lists], np.int64)
        unit = np.repeat(np.arange(len(lists)), sizes)
        clip = np.array([clip for each in lists for clip in sorted(each)], np.int64)
        bears = codes[clip] >= 0
        pair, at, count = np.unique(
            unit[bears] * len(number) + codes[clip[bears]], return_inverse=True, return_counts=True
        )
        staying = count >= _FEWEST
        row = np.cumsum(staying) - 1
        kept = staying[at]
        own, place = np.unique(pair[staying] // max(1, len(number)), return_inverse=True)
        among = np.isin(unit, own)
        return cls(
            units, np.array([number[name] for name in names], np.int64),
            _ones(np.flatnonzero(codes >= 0), codes[codes >= 0], (len(labels), len(number))),
            _ones(row[at[kept]], clip[bears][kept], (int(staying.sum()), len(labels))),
            _ones(np.searchsorted(own, unit[among]), clip[among], (len(own), len(labels))),
            np.flatnonzero(np.diff(place, prepend=-1)), pair[staying] % max(1, len(number)),
            cutoff / max(1, len(there)),  # any label might have been the commonest
        )  # fmt: skip

    def answering(self, weights: Int64[np.ndarray, "clip draw"]) -> Int64[np.ndarray, "draw label"]:
        """How many units answer to each label, each clip counted so many times."""
        draws, labels = weights.shape[1], self.of_clips.shape[1]
        if not len(self.first):
            return np.zeros((draws, len(self.asked)), np.int64)
        counts, among, of = self.shared @ weights, self.of_clips.T @ weights, self.listed @ weights
        most = np.maximum.reduceat(counts, self.first, axis=0)
        sizes = np.diff(np.append(self.first, len(self.label)))
        rows = np.where(counts == np.repeat(most, sizes, axis=0), np.arange(len(counts))[:, None], len(counts))
        label = self.label[np.minimum.reduceat(rows, self.first, axis=0)]  # of equals the first in the alphabet
        known, which = np.unique(among, return_inverse=True)
        needed = fewest(known, int(of.max(initial=0)), int(weights[:, 0].sum()), self.level)
        draw = np.arange(draws)
        holds = most >= needed[which.reshape(among.shape)[label, draw], of]
        answering = np.bincount((draw * labels + label)[holds], minlength=draws * labels)
        return answering.reshape(draws, labels)[:, self.asked]


def _ones(rows: np.ndarray, columns: np.ndarray, shape: tuple[int, int]) -> sparse.csr_array:
    return sparse.csr_array((np.ones(len(rows), np.int64), (rows, columns)), shape=shape)


def fewest(among: Int64[np.ndarray, " label"], most: int, total: int, level: float) -> Int64[np.ndarray, "label of"]:
    """How many of so many (0 to `most`) must bear a label for it to be over-represented among them.

    among  how many of the total bear the label

    By the hypergeometric distribution at this level; at least one. SciPy's takes one case after the other.
    """
    needed = np.empty((len(among), most + 1), np.int64)
    for part in np.array_split(np.arange(len(among)), -(-len(among) * (most + 1) ** 2 // _NUMBERS)):
        needed[part] = _fewest(among[part, None, None], most, total, level * (1 + _SAME))
    return needed


def _fewest(among: np.ndarray, most: int, total: int, level: float) -> np.ndarray:
    of, count = np.arange(most + 1)[:, None], np.arange(most + 1)
    possible = (count <= np.minimum(of, among)) & (of - count <= total - among)
    bearing, others = np.where(possible, count, 0), np.where(possible, of - count, 0)
    ways = _log_ways(among, bearing) + _log_ways(total - among, others) - _log_ways(np.array(total), of)
    chances = np.where(possible, np.exp(ways), 0.0)
    tail = np.cumsum(chances[..., ::-1], axis=-1)[..., ::-1]  # of so many or more
    return np.maximum(1, (tail > level).sum(-1))


def _log_ways(of: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    return gammaln(of + 1) - gammaln(chosen + 1) - gammaln(of - chosen + 1)
