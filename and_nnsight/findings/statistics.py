"""The statistics that the findings need: scipy's, and what it lacks, Wilson's interval and p over whole layers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import permutations

import numpy as np
from jaxtyping import Float, Float64, Int64

from ..statistics.student_t import LEVEL
from .libraries import needed_library

_NORMAL = 1.959963984540054  # the normal distribution's 97.5 % point
_MOST_ARRANGEMENTS = 40_320  # of 8 layers: up to here every order is tried
_DRAWS = 9_999
_TINY = 1e-300
_SAME = 1e-9  # slopes that differ by less, relatively, are ties


def wilson(hits: float, count: int) -> tuple[float, float]:
    """95 % interval of a share by Wilson's score; (0, 1) where nothing was counted. (scipy's takes whole hits only.)"""
    if count == 0:
        return 0.0, 1.0
    share, square = hits / count, _NORMAL**2 / count
    middle = (share + square / 2) / (1 + square)
    half = _NORMAL * math.sqrt(share * (1 - share) / count + square / (4 * count)) / (1 + square)
    return max(0.0, middle - half), min(1.0, middle + half)


@dataclass(frozen=True)
class Mean:
    """A mean with its 95 % interval by Student's t. `low`, `high`: None for fewer than two values."""

    count: int
    mean: float | None
    low: float | None
    high: float | None


def mean_of(values: Float[np.ndarray, " value"] | Int64[np.ndarray, " value"]) -> Mean:
    """The mean of values; None throughout where there are none."""
    count = len(values)
    if count < 2:
        return Mean(count, float(values[0]) if count else None, None, None)
    mean, error = float(values.mean()), float(values.std(ddof=1)) / math.sqrt(count)
    half = _quantile(count - 1) * error
    return Mean(count, mean, mean - half, mean + half)


def prediction_half_width(values: Float64[np.ndarray, " value"]) -> float | None:
    """How far from the mean of values one more of their kind lies at most, 95 times in 100, by Student's t.

    None for fewer than two values.
    """
    count = len(values)
    if count < 2:
        return None
    return _quantile(count - 1) * float(values.std(ddof=1)) * math.sqrt(1 + 1 / count)


@dataclass(frozen=True)
class Line:
    """A straight line through units by ordinary least squares, value = intercept + slope · layer.

    p_layers      two-sided, by permutation: the share of the orders of the layers, each kept whole, that give a slope
                  as steep. This is the p of a claim about layers
    least_p_layers  what it can be at least: with 4 layers in a row 2/24, since an order and its reverse are as steep
    arrangements  how many orders were tried; all of them where `exact`, else drawn, seeded
    slope, low, high, p_units  the slope with its 95 % interval and p, two-sided, by the t test over units with `df`
                  degrees of freedom. They take units as independent; but units of one layer are alike, so that p is too
                  small, and the interval too narrow, for a claim about layers
    """

    units: int
    layers: int
    slope: float
    intercept: float
    low: float
    high: float
    p_units: float
    df: int
    p_layers: float
    least_p_layers: float
    arrangements: int
    exact: bool


def line_through(
    layers: Int64[np.ndarray, " unit"], values: Int64[np.ndarray, " unit"] | Float[np.ndarray, " unit"], seed: int = 0
) -> Line | None:
    """The line of values over layers; None where there is none: fewer than two layers or three units."""
    indices, places = np.unique(layers, return_inverse=True)
    count = len(values)
    if len(indices) < 2 or count < 3:
        return None
    y = values.astype(np.float64)
    line = needed_library("scipy.stats").linregress(layers.astype(np.float64), y)
    slope, half = float(line.slope), _quantile(count - 2) * float(line.stderr)
    flat = abs(slope) <= _SAME * max(float(np.abs(y).max()), _TINY)
    p_units = 1.0 if flat else float(line.pvalue)
    sizes = np.bincount(places).astype(np.float64)
    means = np.bincount(places, y) / sizes
    p_layers, arrangements, exact = _permuted(indices.astype(np.float64), sizes, means, seed)
    mirrored = exact and (indices - indices[0] == (indices[-1] - indices)[::-1]).all()
    return Line(
        count, len(indices), slope, float(line.intercept), slope - half, slope + half, p_units, count - 2,
        p_layers, (2 if mirrored else 1) / arrangements, arrangements, exact,
    )  # fmt: skip


def _permuted(
    indices: Float64[np.ndarray, " layer"],
    sizes: Float64[np.ndarray, " layer"],
    means: Float64[np.ndarray, " layer"],
    seed: int,
) -> tuple[float, int, bool]:
    """p of the slope when whole layers change places, how many orders it is from, and whether those are all.

    (scipy's permutation_test takes slopes for ties up to 1e-14 only: an order and its reverse may differ by more.)
    """
    exact = math.factorial(len(indices)) <= _MOST_ARRANGEMENTS
    if exact:
        orders = np.array(list(permutations(indices)))
    else:
        generator = np.random.default_rng(seed)
        random = [generator.permutation(indices) for _ in range(_DRAWS)]
        orders = np.array([indices, *random])  # the order that is there is one of them
    across = orders - (orders @ sizes / sizes.sum())[:, None]
    slopes = np.abs((across * sizes) @ (means - sizes @ means / sizes.sum()) / (across**2 @ sizes))
    steep = np.abs(slopes[0])
    as_steep = slopes >= steep - _SAME * max(float(steep), float(np.abs(means).max()))
    return float(as_steep.mean()), len(orders), exact


def p_text(p: float) -> str:
    """A p as it is printed."""
    if p < 0.001:
        return "p < 0.001"
    return f"p = {p:.2g}" if p < 0.1 else f"p = {p:.2f}"


def _quantile(df: int) -> float:
    """How many standard errors a 95 % interval by Student's t reaches to either side."""
    return float(needed_library("scipy.stats").t.ppf((1 + LEVEL) / 2, df))
