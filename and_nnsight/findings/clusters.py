"""K-means of our own: seeded, and each point may count more than once.

(scikit-learn comes with an optional extra only. The tests hold this against it.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int64

_STARTS = 10
_MOST_ROUNDS = 300


@dataclass(frozen=True)
class Clusters:
    """Which cluster each point is in, the clusters' means, and the weighted sum of squared distances to them."""

    members: Int64[np.ndarray, " point"]
    centres: Float32[np.ndarray, "cluster dim"]
    inertia: float


def k_means(
    points: Float32[np.ndarray, "point dim"],
    weights: Float64[np.ndarray, " point"],
    count: int,
    seed: int,
    starts: int = _STARTS,
) -> Clusters:
    """The best of several runs of Lloyd's rounds from k-means++ starts. Clusters are numbered from the heaviest down.

    points   one a row; `weights`, above 0, say how many times each counts
    count    number of clusters. Raises ValueError if there are fewer points
    seed     the same points in the same order and the same seed give the same clusters
    """
    if not 1 <= count <= len(points):
        raise ValueError(f"{len(points)} points cannot be put in {count} clusters")
    generator = np.random.default_rng(seed)
    squares = np.einsum("ij,ij->i", points, points).astype(np.float64)
    best = min(
        (_rounds(points, squares, weights, _start(points, squares, weights, count, generator)) for _ in range(starts)),
        key=lambda found: found.inertia,
    )
    heaviest = np.argsort(-np.bincount(best.members, weights, count), kind="stable")
    numbers = np.empty(count, np.int64)
    numbers[heaviest] = np.arange(count)
    return Clusters(numbers[best.members], best.centres[heaviest], best.inertia)


def _start(
    points: Float32[np.ndarray, "point dim"],
    squares: Float64[np.ndarray, " point"],
    weights: Float64[np.ndarray, " point"],
    count: int,
    generator: np.random.Generator,
) -> Float32[np.ndarray, "cluster dim"]:
    """k-means++: each next centre is a point, drawn by its weight times its squared distance to the nearest so far."""
    chosen = [int(generator.choice(len(points), p=weights / weights.sum()))]
    nearest = _distances(points, squares, points[chosen])[:, 0]
    while len(chosen) < count:
        odds = weights * nearest
        odds[chosen] = 0
        if odds.sum() == 0:  # every point that is left stands on a centre
            odds = np.ones(len(points))
            odds[chosen] = 0
        chosen.append(int(generator.choice(len(points), p=odds / odds.sum())))
        nearest = np.minimum(nearest, _distances(points, squares, points[chosen[-1:]])[:, 0])
    return points[chosen]


def _rounds(
    points: Float32[np.ndarray, "point dim"],
    squares: Float64[np.ndarray, " point"],
    weights: Float64[np.ndarray, " point"],
    centres: Float32[np.ndarray, "cluster dim"],
) -> Clusters:
    """Points to their nearest centres, centres to the means of their points, until nothing moves."""
    members = np.full(len(points), -1)
    count = len(centres)
    for _ in range(_MOST_ROUNDS):
        distances = _distances(points, squares, centres)
        nearest = distances.argmin(1)
        own = distances[np.arange(len(points)), nearest]
        for empty in np.setdiff1d(np.arange(count), nearest):  # it takes the point that is worst off
            alone = np.bincount(nearest, minlength=count)[nearest] == 1
            worst = int(np.where(alone, -1.0, weights * own).argmax())
            nearest[worst], own[worst] = empty, 0.0
        if (nearest == members).all():
            break
        members = nearest
        shares = np.zeros((count, len(points)))
        shares[members, np.arange(len(points))] = weights
        centres = (shares @ points / shares.sum(1, keepdims=True)).astype(np.float32)
    own = _distances(points, squares, centres)[np.arange(len(points)), members]
    return Clusters(members.astype(np.int64), centres, float(weights @ own))


def _distances(
    points: Float32[np.ndarray, "point dim"],
    squares: Float64[np.ndarray, " point"],
    centres: Float32[np.ndarray, "cluster dim"],
) -> Float64[np.ndarray, "point cluster"]:
    """Squared distances."""
    products = (points @ centres.T).astype(np.float64)
    lengths = np.einsum("ij,ij->i", centres, centres).astype(np.float64)
    return np.maximum(squares[:, None] - 2 * products + lengths, 0)
