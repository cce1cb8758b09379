"""Points in clusters: scikit-learn's k-means, seeded, and each point may count more than once.

Of more than `MANY` points the starts are tried on a sample, and the best of them goes on with all points until nothing
moves (Bradley & Fayyad 1998): five times ten starts on 100,000 sentences would take a third of an hour.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int64

from .libraries import needed_library

_STARTS = 10
MANY = 10_000
"""Points up to which starts are tried on all of them, and draws of the sample that they are tried on of more."""
_SEEDS = 2**32  # that scikit-learn tells apart


@dataclass(frozen=True, eq=False)
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

    points   one a row; `weights`, above 0, say how many times each counts. Of more than `MANY` the runs are over a
             sample, drawn by weight, and the best of them is followed by one over all
    count    number of clusters
    seed     the same points in the same order and the same seed give the same clusters

    Raises ValueError if there are fewer points than clusters, PluginError where there is no scikit-learn.
    """
    if not 1 <= count <= len(points):
        raise ValueError(f"{len(points)} points cannot be put in {count} clusters")
    cluster = needed_library("sklearn.cluster")
    sample = _sample(weights, seed) if len(points) > MANY else weights
    chosen = np.flatnonzero(sample)
    with warnings.catch_warnings():  # fewer places than clusters: points that stand on one place share a cluster
        warnings.filterwarnings("ignore", message="Number of distinct clusters")
        several = cluster.KMeans(count, n_init=starts, random_state=seed % _SEEDS)
        if count <= len(chosen) < len(points):
            best = several.fit(points[chosen], sample_weight=sample[chosen]).cluster_centers_
            fitted = cluster.KMeans(count, init=best, n_init=1).fit(points, sample_weight=weights)
        else:
            fitted = several.fit(points, sample_weight=weights)
    heaviest = np.argsort(-np.bincount(fitted.labels_, weights, count), kind="stable")
    numbers = np.empty(count, np.int64)
    numbers[heaviest] = np.arange(count)
    centres = fitted.cluster_centers_[heaviest].astype(np.float32)
    return Clusters(numbers[fitted.labels_], centres, float(fitted.inertia_))


def _sample(weights: Float64[np.ndarray, " point"], seed: int) -> Float64[np.ndarray, " point"]:
    """How often each point comes among `MANY` that are drawn by weight."""
    return np.random.default_rng(seed).multinomial(MANY, weights / weights.sum()).astype(np.float64)
