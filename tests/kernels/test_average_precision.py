from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from and_nnsight.kernels import average_precision, bin_edges, bins_of, count_in_bins, exact_average_precision
from and_nnsight.kernels.average_precision import BINS, FIRST
from tests import concept_oracle
from tests.oracle import examples

CLIPS = 3_000


def binned(values: np.ndarray, fits: np.ndarray, edges: torch.Tensor) -> torch.Tensor:
    bins = edges.shape[1] + 1
    everything = torch.zeros(values.shape[1], bins, dtype=torch.int32)
    positives = torch.zeros(values.shape[1], fits.shape[1], bins, dtype=torch.int16)
    count_in_bins(positives, everything, bins_of(torch.tensor(values), edges), torch.tensor(fits))
    return average_precision(positives, everything)


def expected(values: np.ndarray, fits: np.ndarray) -> np.ndarray:
    columns = [[concept_oracle.average_precision(unit, fit) for fit in fits.T] for unit in values.T]
    return np.array(columns)


def drawn(random: np.random.Generator, kind: str, units: int) -> np.ndarray:
    shape = (CLIPS, units)
    return {
        "normal": random.normal(size=shape),
        "gumbel": random.gumbel(size=shape),
        "exponential": random.exponential(size=shape),
        "lognormal": random.lognormal(size=shape),
        "heavy": random.standard_t(3, size=shape),
        "rectified": np.maximum(random.normal(size=shape) - 1, 0),
        "rarely active": np.maximum(random.normal(size=shape) - 3, 0),
        "offset": 1e4 + random.normal(size=shape),
        "negative": -random.gamma(2.0, size=shape) - 0.1,
        "ties": np.round(random.normal(size=shape)),
    }[kind].astype(np.float32)


def planted(kind: str, units: int = 30) -> tuple[np.ndarray, np.ndarray]:
    """Activations of units, of which most respond to one concept, more or less; concepts from one in two to 1 in 500."""
    random = np.random.default_rng(0)
    fits = random.random((CLIPS, 5)) < [0.5, 0.1, 0.02, 0.01, 0.002]
    strength = random.choice([0.0, 0.5, 1.0, 2.0, 4.0, 8.0], units)
    own = fits[:, random.integers(5, size=units)]
    return (drawn(random, kind, units) + strength * own * random.random((CLIPS, units)) ** 0.5).astype(np.float32), fits


@given(seed=st.integers(0, 1 << 32), clips=st.integers(1, 40), units=st.integers(1, 5), ties=st.booleans())
@examples
def test_exact_average_precision_is_that_of_the_definition(seed: int, clips: int, units: int, ties: bool):
    random = np.random.default_rng(seed)
    values = random.normal(size=(clips, units)).astype(np.float32)
    values = np.round(values) if ties else values
    fits = random.random((clips, 3)) < 0.3
    fits[0] = True
    found = exact_average_precision(torch.tensor(values), torch.tensor(fits))
    np.testing.assert_allclose(found.numpy(), expected(values, fits), rtol=1e-12)


def test_values_in_bins_of_their_own_are_ranked_exactly():
    random = np.random.default_rng(0)
    values = random.integers(0, BINS, (500, 4)).astype(np.float32)
    fits = random.random((500, 3)) < 0.1
    edges = (torch.arange(BINS - 1) + 0.5).expand(4, -1).contiguous()
    np.testing.assert_allclose(binned(values, fits, edges).numpy(), expected(values, fits), rtol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind",
    [
        "normal",
        "gumbel",
        "exponential",
        "lognormal",
        "heavy",
        "rectified",
        "rarely active",
        "offset",
        "negative",
        "ties",
    ],
)
def test_binned_average_precision_is_near_the_exact_one(kind: str):
    values, fits = planted(kind)
    edges = bin_edges(torch.tensor(values[:FIRST]))
    found, exact = binned(values, fits, edges).numpy(), expected(values, fits)
    apart = abs(found - exact)
    assert apart.mean() < 0.006
    assert np.quantile(apart, 0.95) < 0.06
    assert apart.max() < 0.25
    bins = bins_of(torch.tensor(values), edges).numpy()
    for unit, concept in np.ndindex(3, 5):
        least, most = concept_oracle.average_precision_between(bins[unit], fits[:, concept])
        assert least - 1e-9 <= exact[unit, concept] <= most + 1e-9, "what the bins allow"
        assert least - 1e-9 <= found[unit, concept] <= most + 1e-9


def test_a_constant_unit_has_the_base_rate():
    fits = np.zeros((400, 2), bool)
    fits[:40, 0], fits[:, 1] = True, True
    for value in (0.0, -3.5, 1e4):
        values = np.full((400, 1), value, np.float32)
        found = binned(values, fits, bin_edges(torch.tensor(values[:FIRST])))
        assert found.tolist() == [[pytest.approx(0.1), pytest.approx(1.0)]]
        found = exact_average_precision(torch.tensor(values[:100]), torch.tensor(fits[:100]))
        assert found.tolist() == [[pytest.approx(0.4), pytest.approx(1.0)]]


@pytest.mark.parametrize("rest", [0.0, -0.17, 5.0])
def test_a_unit_that_wakes_late_is_still_told_apart(rest: float):
    random = np.random.default_rng(0)
    values = np.full((2_000, 1), rest, np.float32)
    fits = np.zeros((2_000, 1), bool)
    fits[300:320] = True
    values[300:340, 0] += np.concatenate([random.uniform(2, 3, 20), random.uniform(0.5, 1, 20)]).astype(np.float32)
    assert binned(values, fits, bin_edges(torch.tensor(values[:FIRST]))).item() == pytest.approx(1.0)


def test_edges_ascend_whatever_comes():
    random = np.random.default_rng(0)
    columns = [drawn(random, kind, 1)[:FIRST] for kind in ("normal", "rarely active", "offset", "ties")]
    columns += [np.full((FIRST, 1), value, np.float32) for value in (0.0, 3e38, -3e38, np.nan)]
    columns += [np.where(random.random((FIRST, 1)) < 0.5, np.nan, 3e38).astype(np.float32)]
    edges = bin_edges(torch.tensor(np.concatenate(columns, 1)))
    assert edges.shape == (len(columns), BINS - 1)
    assert (edges.diff(dim=1) >= 0).logical_or(edges[:, 1:].isinf()).all()
    assert not edges.isnan().any()


def test_a_concept_without_a_clip_has_none():
    fits = torch.tensor([[True, False], [False, False]])
    found = exact_average_precision(torch.tensor([[1.0], [2.0]]), fits)
    assert found[0, 0] == 0.5
    assert found[0, 1].isnan()


def test_many_clips_of_many_concepts_are_counted_in_parts():
    random = np.random.default_rng(0)
    values, fits = random.normal(size=(400, 2)).astype(np.float32), random.random((400, 9)) < 0.7
    everything, positives = torch.zeros(2, BINS, dtype=torch.int32), torch.zeros(2, 9, BINS, dtype=torch.int32)
    bins = bins_of(torch.tensor(values), bin_edges(torch.tensor(values[:FIRST])))
    count_in_bins(positives, everything, bins, torch.tensor(fits))
    assert everything.sum(1).tolist() == [400, 400]
    assert torch.equal(positives.sum(2), torch.tensor(fits.sum(0)).expand(2, -1))
    for unit, place in ((0, 3), (1, 40)):
        assert everything[unit, place] == (bins[unit] == place).sum()
        assert positives[unit, 4, place] == (torch.tensor(fits[:, 4]) & (bins[unit] == place)).sum()


@pytest.mark.parametrize("large", [[8.0], [8.0, 4.0], [8.0, 6.0, 4.0, 2.0]])
def test_beyond_the_first_clips_bins_are_as_wide_as_the_mean_excess_of_the_largest(large: list[float]):
    """Of the values among the 16 largest that lie above the 17th; a quarter of an octave of rank each."""
    values = torch.zeros(FIRST, 1)
    values[: len(large), 0] = torch.tensor(large)
    edges = bin_edges(values)[0].double()
    beyond = edges[edges > 8.001]
    step = math.log(2) / 4 * sum(large) / len(large)
    assert (beyond[:20] - 8.0).tolist() == pytest.approx([step * place for place in range(1, 21)], rel=1e-5)
    wider = (beyond[20:] - 8.0).tolist()
    assert wider == pytest.approx([20 * step * 2 ** (place / 2) for place in range(1, len(wider) + 1)], rel=1e-5)
    assert len(wider) > 0
