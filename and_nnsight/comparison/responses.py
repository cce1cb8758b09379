"""What units answer to, as rows over clips that can be correlated: activations, or which clips are their exemplars.

Of activations a row has Savage scores, so that the correlation of two is the top-down correlation (see
`explain.evaluate.top_down`): the clips that a unit answers to count for most, whatever its scale. Of exemplars it is 1
at the clips that are evidence and 0 elsewhere.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float32, Float64, Int64
from scipy import sparse
from scipy.stats import binom
from scipy.stats import t as student_t

from ..explain.evaluate.metrics import standardised
from ..explain.evaluate.top_down import savage_scores
from .sides import Side

READ_AT_ONCE = 1_024
"""Units of a site whose activations are looked through at once."""
AT_ONCE = 1_024
"""Others that rows are held against at once."""
_BYTES_A_PAIR = 40  # of units that share a clip
_DECIMALS = 6  # of correlations: products of the same rows differ in the last bits with the size of a block
_FEWEST = 3  # clips off the commonest value, below which an interval says nothing
CONSTANT = "it is the same on all clips"
NOT_FINITE = "it is not finite on some clip"
NO_EVIDENCE = "none of its clips is evidence"
ALL_EVIDENCE = "all clips are its evidence"

Units = Int64[np.ndarray, " unit"]


@dataclass(frozen=True)
class Interval:
    """Of correlations: 95 % intervals (NaN: not known), and p that the true one is as high as `least`."""

    low: Float64[np.ndarray, " unit"]
    high: Float64[np.ndarray, " unit"]
    p_below: Float64[np.ndarray, " unit"]


@dataclass(frozen=True)
class Nearest:
    """Of each row the place of the other that goes with it most, the first among equals, and their correlation."""

    place: Int64[np.ndarray, " row"]
    correlation: Float32[np.ndarray, " row"]


class Responses(ABC):
    """The units of some sites of a dissection that can be compared, numbered, and what they answer to.

    units     site and index of each
    untested  those that cannot be compared, and why
    spread    how many clips tell a unit: those that are not at its commonest value; its exemplars. Units of one spread
              are alike where clips are put in random order
    """

    def __init__(self, sites: Sequence[str]) -> None:
        self.sites = tuple(sites)
        self.units: list[tuple[str, int]] = []
        self.untested: dict[tuple[str, int], str] = {}
        self.spread: Units = np.zeros(0, np.int64)

    def __len__(self) -> int:
        return len(self.units)

    @property
    @abstractmethod
    def bytes_a_unit(self) -> int:
        """What a row takes while it is held against others, about."""

    @abstractmethod
    def rows(self, units: Units) -> Any:
        """The rows of units by their numbers."""

    @abstractmethod
    def shuffled(self, units: Units, random: np.random.Generator) -> Any:
        """The same, each with the clips in a random order of its own."""

    @abstractmethod
    def nearest(self, rows: Any, others: Any) -> tuple[Nearest, Nearest]:
        """Of the rows among the others, and of the others among the rows."""

    @abstractmethod
    def highest(self, rows: Any, others: Any) -> Float32[np.ndarray, " row"]:
        """Of each row the correlation with the other that goes with it most."""

    @abstractmethod
    def paired(self, rows: Any, others: Any) -> Float32[np.ndarray, " row"]:
        """Of each row with the other at its place, rounded."""

    @abstractmethod
    def interval(self, rows: Any, others: Any, spread: Units, least: float) -> Interval:
        """Of the correlation of each row with the other at its place."""


class ActivationResponses(Responses):
    """By the activations that were kept."""

    def __init__(self, side: Side) -> None:
        super().__init__(side.sites)
        row = {clip: place for place, clip in enumerate(side.dissection.clips)}
        self._dissection, self._places = side.dissection, np.array([row[clip] for clip in side.clips], np.int64)
        spreads: list[np.ndarray] = []
        for site in side.sites:
            width = side.dissection.widths()[site]
            for part in np.array_split(np.arange(width), -(-width // READ_AT_ONCE)):
                finite, spread = _spread(self._read(site, part))
                for unit, is_finite, clips in zip(part.tolist(), finite.tolist(), spread.tolist(), strict=True):
                    if is_finite and clips:
                        self.units.append((site, unit))
                    else:
                        self.untested[site, unit] = CONSTANT if is_finite else NOT_FINITE
                spreads.append(spread[finite & (spread > 0)])
        self.spread = np.concatenate(spreads) if spreads else self.spread

    @property
    def bytes_a_unit(self) -> int:
        """What a row takes while it is held against others, about."""
        return 4 * len(self._places)

    def rows(self, units: Units) -> Float32[np.ndarray, "unit clip"]:
        """The rows of units by their numbers."""
        rows = np.empty((len(units), len(self._places)), np.float32)
        names = [self.units[unit] for unit in units.tolist()]
        for site in dict.fromkeys(site for site, _ in names):
            at = np.array([place for place, (of, _) in enumerate(names) if of == site])
            for part in np.array_split(at, -(-len(at) // READ_AT_ONCE)):
                values = self._read(site, np.array([names[place][1] for place in part]))
                rows[part] = standardised(savage_scores(torch.from_numpy(values))).numpy()
        return rows

    def shuffled(self, units: Units, random: np.random.Generator) -> Float32[np.ndarray, "unit clip"]:
        """The same, each with the clips in a random order of its own."""
        return random.permuted(self.rows(units), axis=1)

    def nearest(self, rows: Any, others: Any) -> tuple[Nearest, Nearest]:
        """Of the rows among the others, and of the others among the rows."""
        correlations = self._correlations(rows, others)
        places = correlations.argmax(1), correlations.argmax(0)
        ours = Nearest(places[0], correlations[np.arange(len(correlations)), places[0]])
        return ours, Nearest(places[1], correlations[places[1], np.arange(correlations.shape[1])])

    def highest(self, rows: Any, others: Any) -> Float32[np.ndarray, " row"]:
        """Of each row the correlation with the other that goes with it most."""
        return self._correlations(rows, others).max(1)

    def _correlations(self, rows: Any, others: Any) -> Float32[np.ndarray, "row other"]:
        """Of every row with every other, rounded."""
        products = torch.from_numpy(rows) @ torch.from_numpy(others).T
        return products.round_(decimals=_DECIMALS).clamp_(-1.0, 1.0).numpy()

    def paired(self, rows: Any, others: Any) -> Float32[np.ndarray, " row"]:
        """Of each row with the other at its place, rounded."""
        return (rows * others).sum(1).round(_DECIMALS).clip(-1.0, 1.0)

    def interval(self, rows: Any, others: Any, spread: Units, least: float) -> Interval:
        """By the influence of each clip on the correlation (the infinitesimal jackknife), by Student's t."""
        clips = rows.shape[1]
        x, y = (part.astype(np.float64) * clips**0.5 for part in (rows, others))
        r = (x * y).mean(1)
        error = (x * y - r[:, None] * (x**2 + y**2) / 2).std(1) / clips**0.5
        df = np.maximum(spread - 1, 1)
        half = student_t.ppf(0.975, df) * error
        with np.errstate(divide="ignore", invalid="ignore"):
            below = student_t.cdf((r - least) / error, df)
        known = spread >= _FEWEST
        below = np.where(error > 0, below, r >= least)
        low, high = ((r + side).clip(-1.0, 1.0).round(_DECIMALS) for side in (-half, half))
        return Interval(np.where(known, low, np.nan), np.where(known, high, np.nan), np.where(known, below, 1.0))

    def _read(self, site: str, units: np.ndarray) -> Float32[np.ndarray, "unit clip"]:
        activations = self._dissection.activations(site)
        if activations is None:
            raise ValueError(f"{self._dissection.folder} keeps no activations")
        first, end = int(units.min()), int(units.max()) + 1
        if end - first > 4 * len(units):  # far apart
            return np.ascontiguousarray(activations[:, units][self._places].T)
        return np.ascontiguousarray(activations[:, first:end][self._places][:, units - first].T)


def _spread(values: Float32[np.ndarray, "unit clip"]) -> tuple[Bool[np.ndarray, " unit"], Units]:
    """Whether units are finite on all clips, and on how many clips they are not at their commonest value."""
    finite: Bool[np.ndarray, " unit"] = np.all(np.isfinite(values), axis=1)
    ordered = np.sort(np.where(finite[:, None], values, 0.0), axis=1)
    new = np.ones(ordered.shape, bool)
    new[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    starts = np.flatnonzero(new)
    sizes = np.diff(np.append(starts, new.size))
    most = np.zeros(len(values), np.int64)
    np.maximum.at(most, starts // max(1, values.shape[1]), sizes)
    return finite, values.shape[1] - most


class ExemplarResponses(Responses):
    """By the top clips that are evidence."""

    def __init__(self, side: Side) -> None:
        super().__init__(side.sites)
        self._clips = len(side.clips)
        self._sets: list[Int64[np.ndarray, " clip"]] = []
        for at, clips in side.exemplars.items():
            if 0 < len(clips) < self._clips:
                self.units.append(at)
                self._sets.append(np.array(sorted(clips), np.int64))
            else:
                self.untested[at] = ALL_EVIDENCE if clips else NO_EVIDENCE
        self.spread = np.array([len(each) for each in self._sets], np.int64)

    @property
    def bytes_a_unit(self) -> int:
        """What a row takes while it is held against others, about: it may share clips with each."""
        return 16 * int(self.spread.max(initial=1)) + _BYTES_A_PAIR * AT_ONCE

    def rows(self, units: Units) -> sparse.csr_array:
        """The rows of units by their numbers."""
        return self._table([self._sets[unit] for unit in units.tolist()])

    def shuffled(self, units: Units, random: np.random.Generator) -> sparse.csr_array:
        """The same, each with the clips in a random order of its own."""
        return self._table([
            random.choice(self._clips, int(self.spread[unit]), replace=False, shuffle=False) for unit in units.tolist()
        ])  # fmt: skip

    def nearest(self, rows: Any, others: Any) -> tuple[Nearest, Nearest]:
        """Of the rows among the others, and of the others among the rows."""
        shared = rows @ others.T
        return self._nearest(rows, others, shared), self._nearest(others, rows, shared.T.tocsr())

    def highest(self, rows: Any, others: Any) -> Float32[np.ndarray, " row"]:
        """Of each row the correlation with the other that goes with it most."""
        return self._nearest(rows, others, rows @ others.T).correlation

    def _nearest(self, rows: Any, others: Any, shared: sparse.csr_array) -> Nearest:
        """Most pairs share no clip, and these are looked at only for rows that go with none that shares some."""
        ours, theirs, lengths = rows.sum(1), others.sum(1), np.diff(shared.indptr)
        values = self._of_shared(shared.data, np.repeat(ours, lengths), theirs[shared.indices])
        best, place = np.full(len(ours), -np.inf, np.float32), np.zeros(len(ours), np.int64)
        some = np.flatnonzero(lengths)
        if len(some):
            starts = shared.indptr[:-1][some]
            best[some] = np.maximum.reduceat(values, starts)
            at = np.where(values == np.repeat(best, lengths), shared.indices, len(theirs))
            place[some] = np.minimum.reduceat(at, starts)
        for row in np.flatnonzero(best <= 0):
            every = self._of_shared(shared[[row]].toarray()[0], ours[row], theirs)
            place[row] = every.argmax()
            best[row] = every[place[row]]
        return Nearest(place, best)

    def paired(self, rows: Any, others: Any) -> Float32[np.ndarray, " row"]:
        """Of each row with the other at its place, rounded."""
        return self._of_shared(rows.multiply(others).sum(1), rows.sum(1), others.sum(1))

    def _of_shared(self, shared: Any, ours: Any, theirs: Any) -> np.ndarray:
        """The correlation (phi) of sets of clips, from how many they share and how many they hold."""
        share, mine, other = shared / self._clips, ours / self._clips, theirs / self._clips
        scale = np.sqrt(mine * (1 - mine)) * np.sqrt(other * (1 - other))
        return ((share - mine * other) / scale).round(_DECIMALS).astype(np.float32)

    def interval(self, rows: Any, others: Any, spread: Units, least: float) -> Interval:
        """Of each row's clips so few are the other's: by the binomial distribution. No interval."""
        shared = np.asarray(rows.multiply(others).sum(1)).ravel()
        unknown = np.full(len(shared), np.nan)
        return Interval(unknown, unknown, binom.cdf(shared, np.asarray(rows.sum(1)).ravel(), least))

    def _table(self, sets: list[np.ndarray]) -> sparse.csr_array:
        ends = np.concatenate([[0], np.cumsum([len(each) for each in sets])]).astype(np.int64)
        indices = np.concatenate([*sets, np.zeros(0, np.int64)])
        return sparse.csr_array((np.ones(len(indices)), indices, ends), (len(sets), self._clips))
