"""A label is lost or gained only where other clips of the same kind would not say otherwise."""

from __future__ import annotations

import numpy as np
from scipy.stats import hypergeom

from and_nnsight.comparison.label_changes import LabelChange, LabelledLists, changes_over_draws, fewest

CLIPS, LABELS, K = 240, 6, 16
NAMES = [f"label_{number}" for number in range(LABELS)]
OF_CLIPS = [NAMES[clip % LABELS] for clip in range(CLIPS)]
CUTOFF = 1e-2


def lists_of(units: int, share: float, seed: int, label: int = 0, *, alike: bool = False) -> list[frozenset[int]]:
    """Each unit's list holds clips of a label about so often; `alike`: the units answer to the very same clips."""
    random = np.random.default_rng(seed)
    own, others = np.arange(label, CLIPS, LABELS), np.setdiff1d(np.arange(CLIPS), np.arange(label, CLIPS, LABELS))
    made = []
    for _ in range(units):
        count = random.binomial(K, share)
        clips = [*random.choice(own, count, False).tolist(), *random.choice(others, K - count, False).tolist()]
        made.append(frozenset(clips))
    return made[:1] * units if alike else made


def change_of(first: list[frozenset[int]], second: list[frozenset[int]], draws: int = 100) -> LabelChange:
    sides = [LabelledLists.made(NAMES[:1], OF_CLIPS, each, 100, CUTOFF) for each in (first, second)]
    (change,) = changes_over_draws(sides, draws, 0)
    return change


def test_what_is_needed_is_what_scipys_distribution_asks_for() -> None:
    among, level = np.array([0, 1, 7, 40, CLIPS]), 1e-3
    needed = fewest(among, 12, CLIPS, level)
    assert needed.shape == (5, 13)
    for row, bearing in zip(needed, among, strict=True):
        for of, fewest_of in enumerate(row):
            tails = hypergeom.sf(np.arange(of + 2) - 1, CLIPS, bearing, of)
            assert fewest_of == max(1, int((tails > level).sum())), (bearing, of)


def test_counted_once_the_clips_give_what_the_rule_says() -> None:
    lists = [*lists_of(30, 0.5, 1), *lists_of(30, 1 / LABELS, 2)]
    made = LabelledLists.made(NAMES, OF_CLIPS, lists, 100, CUTOFF)
    expected = np.zeros(LABELS, np.int64)
    for clips in lists:
        counts = np.bincount([clip % LABELS for clip in clips], minlength=LABELS)
        best = int(counts.argmax())
        expected[best] += LABELS * hypergeom.sf(counts[best] - 1, CLIPS, CLIPS // LABELS, K) <= CUTOFF
    assert expected[0] > 10
    assert made.answering(np.ones((CLIPS, 1), np.int64))[0].tolist() == expected.tolist()


def test_clips_that_are_drawn_count_as_often() -> None:
    weights = np.random.default_rng(3).multinomial(CLIPS, np.full(CLIPS, 1 / CLIPS), 2).T
    lists = lists_of(40, 0.5, 4)
    made = LabelledLists.made(NAMES[:1], OF_CLIPS, lists, 100, CUTOFF).answering(weights)
    for draw in range(2):
        of_clip, among, holding = weights[:, draw], int(weights[::LABELS, draw].sum()), 0
        for clips in lists:
            counts = [sum(int(of_clip[clip]) for clip in clips if clip % LABELS == label) for label in range(LABELS)]
            p = LABELS * hypergeom.sf(counts[0] - 1, CLIPS, among, sum(counts))
            holding += counts[0] == max(counts) and p <= CUTOFF
        assert 5 < holding < 40 and made[draw, 0] == holding


def test_units_that_answer_alike_in_both_are_no_change_however_often_chance_has_it_otherwise() -> None:
    """Lists of both sides come about in the same way, many of them near the border: the null."""
    p = np.array([change_of(lists_of(25, 0.4, 10 + seed), lists_of(25, 0.4, 500 + seed)).p for seed in range(40)])
    assert (p <= 0.05).mean() <= 0.05 and (p <= 0.2).mean() <= 0.2


def test_where_all_units_answer_to_the_same_clips_these_are_what_is_drawn() -> None:
    """Twenty-five units that are copies of one: as units they would differ twenty-five to none."""
    pairs = [
        (lists_of(25, 0.4, 10 + seed, alike=True), lists_of(25, 0.4, 500 + seed, alike=True)) for seed in range(40)
    ]
    changes = [change_of(*pair) for pair in pairs]
    assert sum(abs(change.difference) == 0.25 for change in changes) > 3
    assert np.mean([change.p <= 0.05 for change in changes]) <= 0.05


def test_what_clearly_differs_is_told() -> None:
    lost = change_of(lists_of(20, 0.9, 1), lists_of(20, 1 / LABELS, 2), draws=2_000)
    assert lost.difference == -0.2 and lost.high < -0.1 and lost.q == lost.p < 0.01
    gained = change_of(lists_of(20, 1 / LABELS, 2), lists_of(20, 0.9, 1), draws=2_000)
    assert (gained.difference, gained.low) == (0.2, -lost.high)


def test_a_side_without_lists_or_labels_answers_to_nothing() -> None:
    empty = LabelledLists.made(NAMES[:2], OF_CLIPS, [], 0, CUTOFF)
    bare = LabelledLists.made(NAMES[:2], [None] * CLIPS, lists_of(3, 0.9, 0), 3, CUTOFF)
    for made in (empty, bare):
        assert made.answering(np.ones((CLIPS, 2), np.int64)).tolist() == [[0, 0], [0, 0]]
