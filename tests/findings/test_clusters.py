"""K-means: seeded, weighted, and numbered from the heaviest down; held against scikit-learn used plainly."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from and_nnsight.findings.clusters import Clusters, k_means


def blobs(seed: int = 0, spread: float = 0.15) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    centres = generator.normal(size=(5, 8))
    points = centres[generator.integers(0, 5, 150)] + generator.normal(scale=spread, size=(150, 8))
    return points.astype(np.float32), generator.integers(1, 6, 150).astype(np.float64)


def partition(members: np.ndarray) -> set[frozenset[int]]:
    return {frozenset(np.flatnonzero(members == number).tolist()) for number in np.unique(members)}


def test_clear_clusters_are_scikit_learns() -> None:
    from sklearn.cluster import KMeans

    points, weights = blobs()
    ours = k_means(points, weights, 5, seed=0)
    theirs = KMeans(5, n_init=10, random_state=0).fit(points, sample_weight=weights)
    assert partition(ours.members) == partition(theirs.labels_)
    assert ours.inertia == pytest.approx(theirs.inertia_, rel=1e-4)


@pytest.mark.parametrize(("seed", "before"), [(0, 4694.395), (1, 4973.877), (2, 5508.063), (3, 5072.842)])
def test_clusters_are_no_looser_than_those_of_the_k_means_that_was_our_own(seed: int, before: float) -> None:
    assert k_means(*blobs(seed, spread=1.5), 11, seed).inertia <= before


@pytest.mark.parametrize("seed", range(4))
def test_unclear_clusters_are_as_tight_as_scikit_learns(seed: int) -> None:
    from sklearn.cluster import KMeans

    points, weights = blobs(seed, spread=1.5)
    theirs = min(
        KMeans(11, n_init=10, random_state=turn).fit(points, sample_weight=weights).inertia_ for turn in range(3)
    )
    assert k_means(points, weights, 11, seed).inertia <= 1.05 * theirs


def test_few_points_come_out_as_well_as_can_be() -> None:
    points = np.random.default_rng(2).normal(size=(8, 2)).astype(np.float32)
    weights = np.array([1.0, 2, 1, 1, 3, 1, 1, 1])
    best = np.inf
    for members in product(range(3), repeat=8):
        labels = np.array(members)
        if len(np.unique(labels)) == 3:
            centres = [np.average(points[labels == one], axis=0, weights=weights[labels == one]) for one in range(3)]
            best = min(best, sum(weights[i] * ((points[i] - centres[labels[i]]) ** 2).sum() for i in range(8)))
    assert k_means(points, weights, 3, seed=0).inertia == pytest.approx(best, rel=1e-5)


def test_a_weight_is_a_number_of_copies() -> None:
    points, weights = blobs(1)
    weighed = k_means(points, weights, 5, seed=0)
    copied = k_means(np.repeat(points, weights.astype(int), 0), np.ones(int(weights.sum())), 5, seed=0)
    assert weighed.inertia == pytest.approx(copied.inertia, rel=1e-4)


def test_the_seed_settles_everything() -> None:
    points, weights = blobs(3, spread=1.5)
    one, again = k_means(points, weights, 6, seed=4), k_means(points, weights, 6, seed=4)
    assert (one.members == again.members).all() and one.inertia == again.inertia


def test_the_heaviest_cluster_comes_first_and_none_is_empty() -> None:
    points, weights = blobs(5, spread=1.5)
    found: Clusters = k_means(points, weights, 12, seed=1)
    sizes = np.bincount(found.members, weights, 12)
    assert (sizes > 0).all() and (np.diff(sizes) <= 0).all()
    for number in range(12):
        own = found.members == number
        middle = np.average(points[own], axis=0, weights=weights[own])
        np.testing.assert_allclose(found.centres[number], middle, atol=1e-5)


def test_as_many_clusters_as_points_and_one_cluster_are_possible() -> None:
    points = np.eye(4, dtype=np.float32)
    assert sorted(k_means(points, np.ones(4), 4, seed=0).members.tolist()) == [0, 1, 2, 3]
    assert k_means(points, np.ones(4), 1, seed=0).inertia == pytest.approx(4 - 1)
    same = np.ones((5, 3), np.float32)
    assert k_means(same, np.ones(5), 3, seed=0).inertia == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("count", [0, 5])
def test_impossible_numbers_of_clusters_are_refused(count: int) -> None:
    with pytest.raises(ValueError, match=f"4 points cannot be put in {count} clusters"):
        k_means(np.eye(4, dtype=np.float32), np.ones(4), count, seed=0)


# Many points: the starts are tried on a sample


@pytest.fixture
def few_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("and_nnsight.findings.clusters.MANY", 60)


def test_starts_on_a_sample_find_the_clusters_that_are_there(few_are_many: None) -> None:
    points, weights = blobs(3)
    members = np.random.default_rng(3)
    members.normal(size=(5, 8))
    planted = members.integers(0, 5, 150)
    assert partition(k_means(points, weights, 5, seed=0).members) == partition(planted)


@pytest.mark.parametrize("seed", range(3))
def test_on_noise_starts_on_a_sample_are_as_tight_as_starts_on_all(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(seed)
    points = generator.normal(size=(3000, 8)).astype(np.float32)
    weights = generator.integers(1, 6, 3000).astype(np.float64)
    whole = k_means(points, weights, 11, seed)
    monkeypatch.setattr("and_nnsight.findings.clusters.MANY", 1000)
    assert k_means(points, weights, 11, seed).inertia <= 1.01 * whole.inertia


def test_what_came_out_of_a_sample_is_where_nothing_moves_any_more(few_are_many: None) -> None:
    points, weights = blobs(4, spread=1.5)
    found = k_means(points, weights, 6, seed=2)
    apart = ((points[:, None] - found.centres) ** 2).sum(2)
    assert (apart.argmin(1) == found.members).all(), "each point is with the nearest of all means"
    assert found.inertia == pytest.approx((weights * apart.min(1)).sum(), rel=1e-4)
    for number in range(6):
        own = found.members == number
        np.testing.assert_allclose(
            found.centres[number], np.average(points[own], axis=0, weights=weights[own]), atol=1e-4
        )
    assert (k_means(points, weights, 6, seed=2).members == found.members).all(), "the seed settles the sample as well"


def test_one_point_that_is_nearly_all_does_not_hide_the_others(few_are_many: None) -> None:
    """A sample of it alone could not be put in clusters: then the starts are tried on all points."""
    points, weights = blobs(1)
    weights[7] = 1e9
    assert len(np.unique(k_means(points, weights, 5, seed=0).members)) == 5
