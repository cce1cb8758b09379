"""p by permutation: against the plainest way to compute it, on noise, and with nulls that explain all or nothing."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from and_nnsight.explain.evaluate.metrics import positives
from and_nnsight.explain.evaluate.permutation import (
    BLOCKS,
    PermutationResult,
    beyond_nulls,
    claim_ways,
    claims_beyond_nulls,
    partial_test,
    prediction_test,
    random_orders,
    unit_ways,
)
from and_nnsight.explain.evaluate.top_down import linear_basis, monotone_residuals, rank_shares, savage_scores
from and_nnsight.statistics.false_discovery import false_discovery_rates

pytestmark = pytest.mark.slow

SHUFFLES = 199
SHARE = 0.05


def floats(values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.asarray(values, np.float32))


def predicted(units: np.ndarray, claims: np.ndarray, shuffles: int = SHUFFLES, seed: int = 0) -> PermutationResult:
    values = floats(units)
    which = torch.arange(len(values)) % len(claims)
    return prediction_test(
        unit_ways(values, positives(values, SHARE)), claim_ways(floats(claims)), which, shuffles, seed
    )


def beyond(units: np.ndarray, claims: np.ndarray, nulls: np.ndarray, shuffles: int = SHUFFLES) -> PermutationResult:
    values, rising = floats(units), torch.ones(len(units), len(nulls), dtype=torch.int64)
    which = torch.arange(len(values)) % len(claims)
    left = beyond_nulls(unit_ways(values, positives(values, SHARE)), floats(nulls), rising)
    return partial_test(left, claims_beyond_nulls(claim_ways(floats(claims)), left.basis), which, shuffles, 0)


# Scores


def plain_savage(values: np.ndarray) -> np.ndarray:
    """Of distinct values: the i-th lowest of n scores 1/n + 1/(n−1) + … + 1/(n−i+1)."""
    rank = [int((values < value).sum()) + 1 for value in values]
    return np.array([sum(1 / (len(values) - j) for j in range(i)) for i in rank])


def test_savage_scores_are_those_of_the_definition_and_ties_share_their_mean() -> None:
    values = np.random.default_rng(0).standard_normal(30)
    np.testing.assert_allclose(savage_scores(floats(values[None]))[0], plain_savage(values), rtol=1e-12)
    tied = savage_scores(torch.tensor([[0.0, 0.0, 0.0, 5.0, 5.0]]))[0]
    apart = plain_savage(np.arange(5))
    np.testing.assert_allclose(tied, [apart[:3].mean()] * 3 + [apart[3:].mean()] * 2)
    assert tied.mean().item() == pytest.approx(1)


def test_a_monotone_fit_is_the_nearest_of_all_that_only_rise() -> None:
    """Every rising step function of four places, by trying all ways to pool neighbours."""
    rng = np.random.default_rng(1)
    for _ in range(20):
        row = rng.standard_normal(4)
        best = math.inf
        for cuts in itertools.product([0, 1], repeat=3):
            blocks = np.cumsum([0, *cuts])
            fit = np.array([row[blocks == block].mean() for block in blocks])
            if (np.diff(fit) >= 0).all():
                best = min(best, float(((row - fit) ** 2).sum()))
        left = monotone_residuals(floats(row[None]), torch.arange(4.0)[None], torch.ones(1, 1, dtype=torch.int64))
        assert left.square().sum().item() == pytest.approx(best, abs=1e-6)


def test_directions_hold_and_a_constant_null_takes_nothing() -> None:
    rows = torch.arange(10.0)[None] - 4.5
    nulls = torch.stack([torch.arange(10.0), torch.zeros(10)])
    rising, falling = (torch.tensor([[way, way]]) for way in (1, -1))
    assert monotone_residuals(rows, nulls, rising).abs().max() < 1e-12
    torch.testing.assert_close(monotone_residuals(rows, nulls, falling), rows.double())
    assert linear_basis(nulls).shape == (10, 2), "a constant, and the ranks of the one that varies"


# Against the definition


def plain_p(unit: np.ndarray, fires: np.ndarray, claim: np.ndarray, orders: list[np.ndarray]) -> float:
    ways = [(plain_scores(unit), plain_scores(claim)), (fires, plain_scores(claim)), (rankdata(unit), rankdata(claim))]

    def statistic(order: np.ndarray) -> float:
        return max(float(np.corrcoef(row[order], said)[0, 1]) for row, said in ways)

    own = statistic(np.arange(len(unit)))
    return (1 + sum(statistic(order) >= own - 1e-7 for order in orders)) / (1 + len(orders))


def plain_scores(values: np.ndarray) -> np.ndarray:
    apart = plain_savage(np.arange(len(values)))
    return np.array([apart[(values < value).sum() : (values <= value).sum()].mean() for value in values])


def rankdata(values: np.ndarray) -> np.ndarray:
    """Ranks; ties share the middle of theirs."""
    return np.array([((values < value).sum() + (values <= value).sum()) / 2 for value in values])


def test_p_is_that_of_the_definition_with_ties_and_without() -> None:
    rng = np.random.default_rng(2)
    units, claims = rng.standard_normal((6, 40)), rng.standard_normal((6, 40))
    units[3:] = np.maximum(units[3:] - 1, 0)
    claims[2:5] = claims[2:5] > 0.8
    units[0] += claims[0]
    orders = [order.numpy() for order in random_orders(40, SHUFFLES, 7)]
    fires = positives(floats(units), SHARE).numpy().astype(float)
    got = predicted(units, claims, seed=7)
    for place in range(6):
        expected = plain_p(units[place].astype(np.float32), fires[place], claims[place].astype(np.float32), orders)
        assert got.p[place].item() == pytest.approx(expected)
        pair = np.corrcoef(plain_scores(units[place]), plain_scores(claims[place]))[0, 1]
        assert got.correlation[place].item() == pytest.approx(pair, abs=1e-5)


def test_partial_p_permutes_residuals_among_clips_of_which_the_nulls_expect_the_same() -> None:
    rng = np.random.default_rng(3)
    units, claims, nulls = (rng.standard_normal((rows, 40)) for rows in (4, 4, 2))
    units[0] += 2 * claims[0]
    design = linear_basis(floats(nulls)).numpy()
    rising = torch.ones(4, 2, dtype=torch.int64)
    fires = positives(floats(units), SHARE)
    got = beyond(units, claims, nulls)
    rows = [
        monotone_residuals(scaled(values.double()).float(), floats(nulls), rising).numpy()
        for values in (savage_scores(floats(units)), fires, rank_shares(floats(units)))
    ]

    def without_nulls(row: np.ndarray) -> np.ndarray:
        return row - design @ np.linalg.lstsq(design, row, rcond=None)[0]

    for place in range(4):
        scores = without_nulls(plain_scores(claims[place].astype(np.float32)))
        said = (scores, scores, without_nulls(rankdata(claims[place].astype(np.float32))))
        residuals = [without_nulls(way[place]) for way in rows]
        expected_of = scaled(savage_scores(floats(units)))[place].numpy() - residuals[0]
        clips, pairs = np.argsort(expected_of), list(zip(residuals, said, strict=True))

        def statistic(order: np.ndarray, ways=pairs, clips=clips) -> float:
            return max(float(np.corrcoef(row[clips][order], claim[clips])[0, 1]) for row, claim in ways)

        own = statistic(np.arange(40)) * math.sqrt((40 - 3) / 39)
        orders = list(random_orders(40, SHUFFLES, 0, BLOCKS))
        reached = [statistic(order.numpy()) >= own - 1e-5 for order in orders]
        assert got.p[place].item() == pytest.approx((1 + sum(reached)) / (1 + SHUFFLES))
        for order in orders[:20]:
            for part in np.array_split(np.arange(40), BLOCKS):
                assert sorted(order[part].tolist()) == part.tolist(), "each within its block"


def scaled(rows: Tensor) -> Tensor:
    rows = rows.double() - rows.double().mean(1, keepdim=True)
    return rows / rows.norm(dim=1, keepdim=True)


def test_p_counts_itself_and_what_equals_it() -> None:
    units = np.zeros((1, 40))
    units[0, 7] = 1
    best = predicted(units, units, shuffles=19)
    met = sum(int(order[7]) == 7 for order in random_orders(40, 19, 0))
    assert best.p.item() == (1 + met) / 20, "an order that leaves the one clip in place does as well, and none better"
    assert predicted(units, np.ones((1, 40))).p.item() == 1.0, "a claim that is alike for all clips tells nothing"
    assert predicted(np.ones((1, 40)), units).p.item() == 1.0


def test_company_of_other_units_makes_no_difference() -> None:
    rng = np.random.default_rng(4)
    units, claims, nulls = (rng.standard_normal((rows, 60)) for rows in (9, 9, 3))
    together = beyond(units, claims, nulls).p
    alone = [beyond(units[place][None], claims[place][None], nulls).p.item() for place in range(9)]
    assert together.tolist() == alone


# Calibration


def rejected(p: Tensor, level: float) -> int:
    return int((p <= level).sum())


def most(count: int, level: float) -> float:
    """What a calibrated test rejects at most, but once in a thousand times."""
    return count * level + 3.1 * math.sqrt(count * level * (1 - level))


@pytest.mark.parametrize("kind", ["normal", "sparse", "two values", "heavy"])
def test_p_of_claims_about_noise_is_uniform(kind: str) -> None:
    rng = np.random.default_rng(5)
    drawn, claims = rng.standard_normal((400, 80)), (rng.uniform(size=(400, 80)) < 0.1) + 0.0
    units = {
        "normal": drawn, "sparse": np.maximum(drawn - 1, 0), "two values": drawn > 1.0, "heavy": np.exp(3 * drawn),
    }[kind]  # fmt: skip
    p = predicted(units, claims).p
    nulls = rng.standard_normal((4, 80))
    both = beyond(units, claims, nulls).p
    for level in (0.01, 0.05, 0.2, 0.5):
        assert rejected(p, level) <= most(400, level)
        assert rejected(both, level) <= most(400, level)
    assert rejected(p, 0.5) > 100, "nor is it needlessly large"


def test_rates_hold_where_true_claims_and_noise_are_mixed() -> None:
    """Over many runs of 40 claims, 20 of them true, the share of false ones among the discoveries is 5 % at most."""
    rng = np.random.default_rng(6)
    false_shares, found = [], 0
    claims = (rng.uniform(size=(1200, 60)) < 0.15) + 0.0
    units = rng.standard_normal((1200, 60))
    true = np.arange(1200) % 2 == 0
    units[true] += 2.5 * claims[true]
    p = predicted(units, claims).p.numpy()
    for run in range(30):
        some = slice(40 * run, 40 * run + 40)
        discovered = false_discovery_rates(p[some]) <= 0.05
        false_shares.append((discovered & ~true[some]).sum() / max(1, discovered.sum()))
        found += int((discovered & true[some]).sum())
    assert np.mean(false_shares) <= 0.05 + 3.1 * np.std(false_shares) / math.sqrt(30)
    assert found > 0.9 * 600


@pytest.mark.parametrize("shape", ["level", "threshold", "step", "exponential"])
def test_what_is_said_of_a_unit_of_loudness_is_not_more_than_loudness(shape: str) -> None:
    rng = np.random.default_rng(7)
    loudness = rng.uniform(0, 1, 120)
    nulls = np.stack([loudness, *rng.standard_normal((3, 120))])
    heard = loudness + 0.15 * rng.standard_normal((200, 120))
    units = {
        "level": heard, "threshold": np.maximum(heard - 0.7, 0), "step": heard > 0.6, "exponential": np.exp(6 * heard),
    }[shape]  # fmt: skip
    claims = loudness + 0.2 * rng.standard_normal((200, 120))
    for said in (claims, claims > 0.7):
        assert rejected(predicted(units, said).p, 0.05) > 190, "it is true, as far as it goes"
        assert rejected(beyond(units, said, nulls).p, 0.05) <= most(200, 0.05)


@pytest.mark.parametrize("sparse", [False, True])
def test_what_is_said_of_thresholded_sums_of_nulls_is_not_more_than_they(sparse: bool) -> None:
    """Claims that go with the same nulls, and with the middle of another, of units that are sums of nulls, and noise.

    Holding a claim's plain cosines against the unit's scores, what is cubic in the nulls taken from the claim, finds one
    or two more planted units in a hundred, and rejects 11 to 12 % here.
    """
    rng = np.random.default_rng(13)
    nulls = rng.standard_normal((4, 240))
    summed = rng.uniform(0, 1, (300, 4)) @ nulls
    units = np.maximum(summed + rng.standard_normal(summed.shape) / (1 + np.exp(-summed)), 0)
    claims = nulls[:2].sum(0) - np.abs(nulls[2]) + 0.7 * rng.standard_normal((300, 240))
    said = np.maximum(claims - 1, 0) if sparse else claims
    assert rejected(predicted(units, said).p, 0.05) > 250, "they go with the units"
    assert rejected(beyond(units, said, nulls).p, 0.05) <= most(300, 0.05)


@pytest.mark.parametrize("dense", [False, True])
def test_p_holds_where_unit_and_claim_both_scatter_more_in_loud_clips(dense: bool) -> None:
    """Claims that are independent of the unit given loudness, with noise that grows with it on both sides."""
    rng = np.random.default_rng(11)
    loudness = rng.uniform(0, 1, 120)
    nulls = np.stack([loudness, *rng.standard_normal((3, 120))])
    units, claims = (loudness + (0.1 + loudness) * rng.standard_normal((400, 120)) for _ in range(2))
    said = claims if dense else claims > 1.2
    p = beyond(units, said + 0.0, nulls).p
    assert rejected(p, 0.05) <= most(400, 0.05)


def test_a_claim_that_is_true_of_half_of_the_clips_is_seen() -> None:
    """The unit is quiet where it is not true; where it is, something else decides how high the unit goes."""
    rng = np.random.default_rng(12)
    tones = rng.uniform(size=(100, 200)) < 0.5
    units = tones + rng.exponential(0.6, (100, 200))
    nulls = rng.standard_normal((4, 200))
    assert (beyond(units, tones + 0.0, nulls, 99).p <= 0.05).sum() >= 95


def test_a_unit_that_is_loudness_and_nothing_else_leaves_nothing_to_be_told() -> None:
    loudness = np.random.default_rng(8).uniform(0, 1, 200)
    nulls = np.stack([loudness, np.zeros(200)])
    units = np.stack([loudness, loudness > 0.53, np.maximum(loudness - 0.9, 0)])
    assert beyond(units, (loudness > 0.53)[None] + 0.0, nulls).p.tolist() == [1.0, 1.0, 1.0]


def test_what_is_true_beyond_loudness_is_seen_also_where_loudness_has_a_part() -> None:
    rng = np.random.default_rng(9)
    loudness, barks = rng.uniform(0, 1, (40, 150)), rng.uniform(size=(40, 150)) < 0.08
    seen = 0
    for level, bark in zip(loudness, barks, strict=True):
        unit = np.maximum(bark * (0.5 + level) + 0.2 * level + 0.1 * rng.standard_normal(150), 0)
        nulls = np.stack([level, *rng.standard_normal((3, 150))])
        seen += beyond(unit[None], bark[None] + 0.0, nulls, shuffles=99).p.item() <= 0.05
    assert seen >= 38


# Rates


def test_rates_are_benjamini_and_hochbergs() -> None:
    p = np.array([0.04, 0.001, 0.5, 0.012, 0.012, 1.0])
    ordered = sorted(p)
    expected = [min(min(1.0, ordered[j] * 6 / (j + 1)) for j in range(6) if ordered[j] >= value) for value in p]
    assert false_discovery_rates(p).tolist() == pytest.approx(expected)
    assert false_discovery_rates(np.array([0.3])).tolist() == [0.3]
    assert false_discovery_rates(np.array([])).tolist() == []


def test_the_discoveries_are_those_of_the_step_up_procedure() -> None:
    rng = np.random.default_rng(10)
    for _ in range(50):
        p = np.round(rng.uniform(0, 0.2, 12), 3)
        below = [k for k in range(1, 13) if sorted(p)[k - 1] <= k * 0.05 / 12 + 1e-12]
        count = max(below, default=0)
        assert (false_discovery_rates(p) <= 0.05 + 1e-12).sum() == count
