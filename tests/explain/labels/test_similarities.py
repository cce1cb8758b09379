"""The five similarities against loops over units in float64, and against values derived by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
import torch
from torch import Tensor

from and_nnsight.explain.labels import mutual_information
from and_nnsight.explain.labels.cosines import (
    ConceptColumns,
    _unit_vectors,
    cos,
    cos_cubed,
    cos_cubed_of_extremes,
    cos_of_extremes,
)
from and_nnsight.explain.labels.mutual_information import (
    SOFT_WPMI,
    WPMI,
    MutualInformation,
    soft_wpmi,
    soft_wpmi_of_top,
    wpmi,
    wpmi_of_top,
)
from and_nnsight.explain.labels.ranking import best_clips, rows_of, scored_first
from and_nnsight.explain.labels.reordering import fraction_of, rank_reorder, rank_reorder_of_top
from and_nnsight.explain.labels.similarities import PUBLISHED

EVERY = pytest.mark.parametrize("name", sorted(PUBLISHED))


def drawn(clips: int, units: int = 11, concepts: int = 7, seed: int = 0, ties: bool = False) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    activations = torch.randn(clips, units, generator=generator, dtype=torch.float64)
    scores = torch.rand(clips, concepts, generator=generator, dtype=torch.float64)
    return (activations.mul(2).round() / 2, scores.mul(8).round() / 8) if ties else (activations, scores)


# --- what the definitions say, a unit and a concept at a time ---------------------------------------------------------


def order_of(unit: np.ndarray) -> list[int]:
    return sorted(range(len(unit)), key=lambda clip: (-unit[clip], clip))


def naive_cosine(activations: np.ndarray, scores: np.ndarray, cubed: bool) -> np.ndarray:
    found = np.zeros((activations.shape[1], scores.shape[1]))
    for u, c in np.ndindex(found.shape):
        x, y = activations[:, u], scores[:, c]
        if cubed:
            x, y = (x - x.mean()) ** 3, (y - y.mean()) ** 3
        least = 1e-3 if cubed else 0.0
        norm = max(math.sqrt((x * x).sum()), least) * max(math.sqrt((y * y).sum()), least)
        found[u, c] = (x * y).sum() / norm if norm else 0.0
    return found


def naive_mutual(
    activations: np.ndarray, scores: np.ndarray, k: int, a: float, lam: float, p: list[float]
) -> np.ndarray:
    k = min(k, len(activations))
    weights = np.exp(a * scores)
    table = weights / weights.sum(1, keepdims=True)
    found = np.zeros((activations.shape[1], scores.shape[1]))
    for u in range(len(found)):
        for rank, clip in enumerate(order_of(activations[:, u])[:k]):
            certain = p[0] - (p[0] - p[1]) * rank / k
            found[u] += np.log(1 + certain * (table[clip] - 1) + 1e-7)
    highest = found.max(0)
    return found - lam * (highest + np.log(np.exp(found - highest).mean(0)))


def naive_reorder(activations: np.ndarray, scores: np.ndarray) -> np.ndarray:
    n = max(1, int(len(activations) * 0.05))
    found = np.zeros((activations.shape[1], scores.shape[1]))
    for u, c in np.ndindex(found.shape):
        clips = order_of(activations[:, u])[:n]
        values, scored = activations[clips, u], scores[clips, c]
        moved = np.empty(n)
        for place, value in zip(np.argsort(scored, kind="stable"), sorted(values), strict=True):
            moved[place] = value
        chance = np.mean([abs(x - y) ** 3 for x in values for y in values])
        error = np.mean(np.abs(values - moved) ** 3) / chance if chance else 1.0
        found[u, c] = -error / max(scored.mean(), 1e-7) ** 0.5
    return found


def naive(name: str, activations: Tensor, scores: Tensor) -> Tensor:
    x, y = activations.double().numpy(), scores.double().numpy()
    found = {
        "cos": lambda: naive_cosine(x, y, cubed=False),
        "cos_cubed": lambda: naive_cosine(x, y, cubed=True),
        "wpmi": lambda: naive_mutual(x, y, 28, 2, 0.6, [1.0, 1.0]),
        "soft_wpmi": lambda: naive_mutual(x, y, 100, 10, 1, [0.998, 0.97]),
        "rank_reorder": lambda: naive_reorder(x, y),
    }[name]()
    return torch.from_numpy(found)


@EVERY
@pytest.mark.parametrize("clips", [1, 7, 28, 60, 250])
@pytest.mark.parametrize("ties", [False, True], ids=["distinct", "ties"])
def test_it_is_the_definition_written_out_unit_by_unit(name: str, clips: int, ties: bool) -> None:
    activations, scores = drawn(clips, seed=clips, ties=ties)
    expected = naive(name, activations, scores)
    torch.testing.assert_close(PUBLISHED[name](activations, scores), expected, rtol=1e-9, atol=1e-12)


@EVERY
def test_float32_gives_nearly_what_float64_gives(name: str) -> None:
    activations, scores = drawn(300)
    found = PUBLISHED[name](activations.float(), scores.float())
    assert found.dtype == torch.float32
    expected = PUBLISHED[name](activations.float().double(), scores.float().double())
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)


@EVERY
@pytest.mark.parametrize("units_at_once", [1, 3, 1000])
def test_how_many_units_are_taken_at_once_changes_nothing(name: str, units_at_once: int) -> None:
    activations, scores = drawn(130, ties=True)
    activations[3, 2] = torch.nan
    found = PUBLISHED[name](activations, scores, units_at_once=units_at_once)
    torch.testing.assert_close(found, PUBLISHED[name](activations, scores), rtol=1e-12, atol=1e-12)


@EVERY
def test_clips_units_and_concepts_may_come_in_any_order(name: str) -> None:
    activations, scores = drawn(130)
    clips, units, concepts = (torch.randperm(n) for n in (130, 11, 7))
    found = PUBLISHED[name](activations[clips][:, units], scores[clips][:, concepts])
    expected = PUBLISHED[name](activations, scores)[units][:, concepts]
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


@EVERY
def test_a_single_concept_and_a_single_unit_are_enough(name: str) -> None:
    activations, scores = drawn(40, units=1, concepts=1)
    found = PUBLISHED[name](activations, scores)
    torch.testing.assert_close(found, naive(name, activations, scores), rtol=1e-9, atol=1e-12)


@EVERY
def test_the_clips_on_which_a_unit_is_not_finite_are_left_out_for_it_alone(name: str) -> None:
    activations, scores = drawn(150)
    damaged = activations.clone()
    damaged[[5, 70, 71], 4] = torch.tensor([torch.nan, torch.inf, -torch.inf], dtype=torch.float64)
    found = PUBLISHED[name](damaged, scores)
    others = [unit for unit in range(11) if unit != 4]
    if name in ("cos", "cos_cubed"):  # the others need not know of each other
        left = [clip for clip in range(150) if clip not in (5, 70, 71)]
        expected = naive(name, activations[left][:, [4]], scores[left])
        torch.testing.assert_close(found[[4]], expected, rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(found[others], naive(name, activations, scores)[others], rtol=1e-9, atol=1e-12)
    else:
        replaced = activations.clone()
        replaced[[5, 70, 71], 4] = -100.0
        expected = naive(name, replaced, scores)
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


@EVERY
def test_a_unit_that_was_never_finite_is_nan_and_disturbs_no_other(name: str) -> None:
    activations, scores = drawn(150, units=4)
    found = PUBLISHED[name](torch.cat([activations, torch.full((150, 1), torch.nan).double()], 1), scores)
    assert found[4].isnan().all()
    torch.testing.assert_close(found[:4], PUBLISHED[name](activations, scores), rtol=1e-12, atol=1e-12)


@EVERY
def test_scores_that_are_not_finite_are_refused(name: str) -> None:
    activations, scores = drawn(30)
    scores[2, 3] = torch.nan
    with pytest.raises(ValueError, match="scores of clips for concepts are not finite"):
        PUBLISHED[name](activations, scores)


# --- by hand --------------------------------------------------------------------------------------------------------


def test_cos_by_hand() -> None:
    activations = torch.tensor([[3.0, 0.0], [4.0, 0.0]])
    scores = torch.tensor([[1.0, 0.0, 0.0], [0.0, 2.0, 0.0]])
    torch.testing.assert_close(cos(activations, scores), torch.tensor([[0.6, 0.8, 0.0], [0.0, 0.0, 0.0]]))


def test_cos_cubed_by_hand() -> None:
    # Centred: (-1, -1, 2) and (-2, 1, 1); cubed: (-1, -1, 8) and (-8, 1, 1).
    found = cos_cubed(torch.tensor([[0.0], [0.0], [3.0]]), torch.tensor([[0.0], [3.0], [3.0]]))
    assert found.item() == pytest.approx((8 - 1 + 8) / 66)


def test_a_norm_below_the_least_counts_as_the_least_and_no_variance_is_no_similarity() -> None:
    # Centred ±0.05, cubed ±1.25e-4, norm 1.77e-4 < 1e-3; the unit's own direction is (-1, 1) / √2.
    found = cos_cubed(torch.tensor([[0.0, 7.0], [2.0, 7.0]]).double(), torch.tensor([[0.0], [0.1]]).double())
    assert found.tolist() == [[pytest.approx(2 * 1.25e-4 / 1e-3 / math.sqrt(2))], [0.0]]


def test_wpmi_by_hand() -> None:
    # Softmax of 2 · (ln 3 / 2, 0) is (3/4, 1/4) on clip 0, and the reverse on clip 1.
    scores = torch.tensor([[math.log(3) / 2, 0.0], [0.0, math.log(3) / 2]]).double()
    activations = torch.tensor([[2.0, 1.0], [1.0, 2.0]]).double()
    found = wpmi(activations, scores, replace(WPMI, top_k=1, min_prob=0.0))
    marginal = 0.6 * math.log((3 / 4 + 1 / 4) / 2)
    high, low = math.log(3 / 4) - marginal, math.log(1 / 4) - marginal
    assert found.tolist() == [[pytest.approx(high), pytest.approx(low)], [pytest.approx(low), pytest.approx(high)]]


def test_soft_wpmi_by_hand() -> None:
    # One unit, two clips, both with S = 1/2 for both concepts: log(1 - p/2) for p = 1 and, of rank 1 of 2, p = 3/4.
    constants = replace(SOFT_WPMI, lam=0.0, p_start=1.0, p_end=0.5, min_prob=0.0)
    found = soft_wpmi(torch.tensor([[2.0], [1.0]]).double(), torch.zeros(2, 2).double(), constants)
    assert found.tolist() == [[pytest.approx(math.log(1 / 2) + math.log(5 / 8))] * 2]


def test_rank_reorder_by_hand() -> None:
    # Best first 3, 1, 0. In the concept's order (clip 1 best, then 0, then 2) they stand as 1, 3, 0: |2|³ + |2|³ moved.
    activations = torch.tensor([[3.0], [1.0], [0.0]]).double()
    scores = torch.tensor([[0.5, 0.9], [0.7, 0.5], [0.3, 0.1]]).double()
    found = rank_reorder(activations, scores, top_fraction=1.0)
    chance = 2 * (8 + 27 + 1) / 9
    assert found[0, 0].item() == pytest.approx(-(16 / 3) / chance / math.sqrt(0.5))
    assert found[0, 1].item() == 0.0


def test_the_random_order_of_rank_reorder_is_the_mean_over_all_orders() -> None:
    values = torch.tensor([5.0, 2.5, 2.0, 1.0, -3.0]).double()
    every = [np.mean(np.abs(values.numpy() - np.array(order)) ** 3) for order in permutations(values.tolist())]
    scores = torch.tensor([0.1, 0.2, 0.3, 0.4, 0.5]).double()
    reversed_error = (values - values.flip(0)).abs().pow(3).mean().item()
    found = rank_reorder(values[:, None], scores[:, None], top_fraction=1.0).item()
    assert found == pytest.approx(-reversed_error / np.mean(every) / math.sqrt(0.3))


def test_a_concept_that_says_the_same_of_all_best_clips_is_not_taken_for_a_good_order() -> None:
    activations, _ = drawn(100, units=1)
    order = torch.linspace(0.4, 0.6, 100).double()
    fitting = torch.empty(100).double()
    fitting[activations[:, 0].argsort()] = order
    scores = torch.stack(
        [fitting, torch.full((100,), fitting[activations[:, 0].topk(5).indices].mean().item()).double()], 1
    )
    found = rank_reorder(activations, scores)[0]
    assert found[0] == 0 and found[1] < -1


def test_a_negative_or_zero_mean_score_puts_a_concept_last() -> None:
    activations, scores = drawn(100)
    scores[:, 0], scores[:, 1] = 0.0, -scores[:, 1]
    found = rank_reorder(activations, scores)
    assert found.isfinite().all()
    assert (found[:, 0] < found[:, 2:].amin(1)).all()


def test_the_defaults_are_the_published_ones() -> None:
    activations, scores = drawn(300)
    same = {
        "wpmi": wpmi(activations, scores, MutualInformation(28, a=2, lam=0.6, min_prob=1e-7)),
        "soft_wpmi": soft_wpmi(activations, scores, MutualInformation(100, 10, 1, 1e-7, p_start=0.998, p_end=0.97)),
        "rank_reorder": rank_reorder(activations, scores, top_fraction=0.05, p=3, scale_p=0.5),
        "cos_cubed": cos_cubed(activations, scores, min_norm=1e-3),
    }
    for name, expected in same.items():
        assert torch.equal(PUBLISHED[name](activations, scores), expected)


# --- from the best clips only ---------------------------------------------------------------------------------------


def test_best_clips_are_ordered_by_activation_and_among_equals_by_clip() -> None:
    found = best_clips(torch.tensor([[1.0, 0.0], [2.0, 0.0], [2.0, torch.nan]]), 3)
    assert found.rows.tolist() == [[1, 0], [2, 1], [0, -1]]
    assert found.values[:, 0].tolist() == [2.0, 2.0, 1.0]


def test_wpmi_soft_wpmi_and_rank_reorder_need_the_best_clips_alone() -> None:
    activations, scores = drawn(400)
    values, rows = best_clips(activations, 120)
    assert torch.equal(wpmi_of_top(rows, scores), wpmi(activations, scores))
    assert torch.equal(soft_wpmi_of_top(rows, scores), soft_wpmi(activations, scores))
    n = fraction_of(400)
    assert n == 20
    assert torch.equal(rank_reorder_of_top(values[:n], rows[:n], scores), rank_reorder(activations, scores))


def test_clips_without_a_score_are_passed_over() -> None:
    activations, scores = drawn(300)
    scored = torch.tensor([clip for clip in range(300) if clip % 3])
    values, clips = best_clips(activations, 200)
    rows = rows_of(clips, scored)
    assert torch.equal(rows < 0, clips % 3 == 0)
    kept, table = activations[scored], scores[scored]
    torch.testing.assert_close(wpmi_of_top(rows, table), wpmi(kept, table))
    torch.testing.assert_close(soft_wpmi_of_top(rows, table), soft_wpmi(kept, table))
    n = fraction_of(len(scored))
    first = scored_first(values, rows)
    torch.testing.assert_close(rank_reorder_of_top(first.values[:n], first.rows[:n], table), rank_reorder(kept, table))


def test_places_of_clips_that_nobody_scored_are_none() -> None:
    assert rows_of(torch.tensor([[4, -1], [9, 7]]), torch.tensor([4, 7])).tolist() == [[0, -1], [-1, 1]]
    assert rows_of(torch.tensor([[4]]), torch.empty(0, dtype=torch.int64)).tolist() == [[-1]]


def test_over_all_clips_the_forms_over_extremes_are_the_similarities_themselves() -> None:
    activations, scores = drawn(60)
    best = best_clips(activations, 60)
    torch.testing.assert_close(cos_of_extremes(best.values, best.rows, scores), cos(activations, scores))
    found = cos_cubed_of_extremes(best.values, best.rows, scores, activations.mean(0))
    torch.testing.assert_close(found, cos_cubed(activations, scores))


def test_the_extremes_alone_find_what_a_unit_listens_for() -> None:
    generator = torch.Generator().manual_seed(0)
    kinds = torch.arange(400) % 8
    scores = torch.nn.functional.one_hot(kinds, 8).float()
    activations = 3 * scores + torch.randn(400, 8, generator=generator)
    best, worst = best_clips(activations, 16), best_clips(-activations, 16)
    values, rows = torch.cat([best.values, -worst.values]), torch.cat([best.rows, worst.rows])
    found = cos_cubed_of_extremes(values, rows, scores, activations.mean(0))
    assert found.argmax(1).tolist() == list(range(8))


def test_the_forms_over_extremes_take_all_other_clips_as_the_mean() -> None:
    activations, scores = drawn(80)
    best, worst = best_clips(activations, 6), best_clips(-activations, 6)
    values, rows = torch.cat([best.values, -worst.values]), torch.cat([best.rows, worst.rows])
    flat = activations.mean(0).expand(80, -1).scatter(0, rows, values)
    x, y = (flat - activations.mean(0)) ** 3, (scores - scores.mean(0)) ** 3
    expected = (x / x.norm(dim=0)).T @ (y / y.norm(dim=0))
    torch.testing.assert_close(cos_cubed_of_extremes(values, rows, scores, activations.mean(0)), expected)
    torch.testing.assert_close(
        cos_of_extremes(values, rows, scores), cos(torch.zeros_like(activations).scatter(0, rows, values), scores)
    )


@pytest.mark.slow
def test_memory_is_bounded_however_many_units_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    original = mutual_information.parts

    def counting(units: int, each: int, at_once: int | None):
        for part in original(units, each, at_once):
            seen.append((part.stop - part.start) * each)
            yield part

    monkeypatch.setattr(mutual_information, "parts", counting)
    wpmi(torch.randn(1, 20_000), torch.rand(1, 1_000))
    assert max(seen) <= 2**23


@pytest.mark.parametrize("cubed", [True, False])
def test_rows_of_concept_columns_are_those_of_the_whole_table(cubed: bool) -> None:
    generator = torch.Generator().manual_seed(5)
    scores = torch.rand(700, 150, generator=generator) ** 6
    scores[:, 3] = 0.25  # nothing is left of it when it is centred
    rows = torch.randint(700, (9, 4), generator=generator)
    for least in (0.0, 1e-3):
        whole = _unit_vectors(scores.double(), cubed, least)
        assert torch.equal(ConceptColumns.of(scores, cubed=cubed, min_norm=least).rows(rows), whole[rows])
