"""Which places were won by value: against a naive reading of the rule, and by what the rule is for.

What it is for: a decided clip stands in the list however the files are ordered.
"""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor

from and_nnsight.dissection.ties import decided_places, repeats, strengths
from and_nnsight.kernels import TopKState, empty_topk, topk_update
from tests.oracle import examples

FEW = st.sampled_from([-1.5, -0.0, 0.0, 0.25, 2.0])


def naive(values: list[float], there: list[bool], ties: int, most: int) -> list[bool]:
    """One unit's list, place by place, as the docstring says it."""
    counted = [place for place in range(len(values)) if there[place]]
    looked_at, further = counted[:most], counted[most:]
    beyond = [values[place] for place in further] + [values[-1]] * ties
    decided = [place in looked_at and values[place] not in beyond for place in range(len(values))]
    if not further and looked_at:
        lowest = values[looked_at[-1]]
        if [values[place] for place in looked_at].count(lowest) > 1:
            decided = [found and values[place] != lowest for place, found in enumerate(decided)]
    return decided


@st.composite
def lists(draw: st.DrawFn) -> tuple[Tensor, Tensor, Tensor, bool]:
    """Values [k, unit], best first, which places count, and ties; and whether the list is of the highest."""
    k, units, largest = draw(st.integers(1, 7)), draw(st.integers(1, 4)), draw(st.booleans())
    columns = [sorted(draw(st.lists(FEW, min_size=k, max_size=k)), reverse=largest) for _ in range(units)]
    there = [draw(st.lists(st.booleans(), min_size=k, max_size=k)) for _ in range(units)]
    ties = draw(st.lists(st.sampled_from([0, 0, 1, 5]), min_size=units, max_size=units))
    return torch.tensor(columns).T.contiguous(), torch.tensor(there).T, torch.tensor(ties), largest


@given(lists(), st.integers(1, 9))
@examples
def test_decided_places_are_those_of_the_naive_rule(case: tuple[Tensor, Tensor, Tensor, bool], most: int) -> None:
    values, there, ties, _ = case
    found = decided_places(values, there, ties, most)
    for unit in range(len(ties)):
        expected = naive(values[:, unit].tolist(), there[:, unit].tolist(), int(ties[unit]), most)
        assert found[:, unit].tolist() == expected


def ranked(values: list[float], order: list[int], k: int, largest: bool) -> TopKState:
    """The top-K of clips whose files come in this order: ids are places in it."""
    column = torch.tensor([values[clip] for clip in order])[:, None]
    frames = torch.zeros(len(order), 1, dtype=torch.int32)
    return topk_update(empty_topk(k, 1, largest=largest), column, torch.arange(len(order)), frames, largest=largest)


def decided_sounds(values: list[float], order: list[int], sounds: list[int], k: int, most: int, largest: bool) -> list:
    """The sounds of the decided places. Clips with one sound are copies; the first in the list counts."""
    state = ranked(values, order, k, largest)
    filled = state.clips >= 0
    heard = torch.tensor([sounds[order[clip]] if clip >= 0 else -1 for clip in state.clips[:, 0].tolist()])[:, None]
    counts = filled & ~repeats(heard)
    decided = decided_places(state.values, counts, state.ties, most)
    return sorted(heard[decided].tolist())


@given(st.lists(FEW, min_size=1, max_size=9), st.integers(1, 6), st.integers(1, 6), st.booleans(), st.data())
@examples
def test_no_order_of_the_files_makes_other_clips_decided(
    values: list[float], k: int, most: int, largest: bool, data: st.DataObject
) -> None:
    """Nor which of several copies comes first. A copy has the activation of what it is a copy of."""
    sounds = data.draw(st.lists(st.integers(0, 8), min_size=len(values), max_size=len(values)), label="sounds")
    values = [values[sounds.index(sound)] for sound in sounds]
    order = data.draw(st.permutations(range(len(values))), label="order")
    in_order = decided_sounds(values, list(range(len(values))), sounds, k, most, largest)
    assert decided_sounds(values, order, sounds, k, most, largest) == in_order


@given(st.lists(FEW, min_size=1, max_size=9), st.integers(1, 6), st.integers(1, 6), st.booleans())
@examples
def test_decided_clips_are_better_than_every_clip_that_is_not(
    values: list[float], k: int, most: int, largest: bool
) -> None:
    clips = list(range(len(values)))
    decided = decided_sounds(values, clips, clips, k, most, largest)
    assume(decided)
    sign = 1 if largest else -1
    assert len(decided) <= most
    others = [sign * values[clip] for clip in clips if clip not in decided]
    assert min(sign * values[clip] for clip in decided) > max(others, default=-math.inf)


@pytest.mark.parametrize("largest", [True, False])
@pytest.mark.parametrize("fires_on", [0, 1, 2, 3, 4])
def test_a_unit_that_fires_on_few_clips_has_those_and_none_of_its_zeros(fires_on: int, largest: bool) -> None:
    """A GELU gives −0 to most: a top-5 of the first files, in either sign of zero."""
    sign = 1.0 if largest else -1.0
    values = [sign * (fires_on - clip) if clip < fires_on else (-0.0, 0.0)[clip % 2] for clip in range(20)]
    for k, most in ((5, 5), (16, 5), (20, 5), (30, 5), (30, 30)):
        clips = list(range(20))
        assert decided_sounds(values, clips, clips, k, most, largest) == clips[:fires_on]


def test_the_last_of_all_clips_is_decided_if_it_alone_has_its_value() -> None:
    clips = [0, 1, 2]
    assert decided_sounds([3.0, 2.0, 1.0], clips, clips, 5, 5, True) == [0, 1, 2]
    assert decided_sounds([3.0, 1.0, 1.0], clips, clips, 5, 5, True) == [0]
    assert decided_sounds([1.0, 1.0, 1.0], clips, clips, 5, 5, True) == []


def test_looking_at_fewer_places_makes_ties_with_the_next_place_undecided() -> None:
    clips = [0, 1, 2, 3, 4]
    values = [5.0, 4.0, 4.0, 3.0, 2.0]
    assert decided_sounds(values, clips, clips, 4, 2, True) == [0]
    assert decided_sounds(values, clips, clips, 4, 3, True) == [0, 1, 2]
    assert decided_sounds(values, clips, clips, 3, 3, True) == [0]  # what lies beyond a list that is cut is not known


def test_strength_is_the_distance_from_the_mean_as_a_share_of_the_first_places() -> None:
    top = torch.tensor([[4.0, 1.0, -1.0], [2.0, 1.0, -2.0], [-1.0, 1.0, -5.0]])
    found = strengths(top, torch.tensor([0.0, 1.0, -3.0]))
    assert found.T.tolist() == [[1.0, 0.5, -0.25], [0.0, 0.0, 0.0], [1.0, 0.5, -1.0]]
    assert strengths(-top, torch.tensor([0.0, -1.0, 3.0])).tolist() == found.tolist()  # a list of the lowest


@given(lists(), st.lists(FEW, min_size=4, max_size=4))
@examples
def test_strengths_are_those_of_the_naive_rule(case: tuple[Tensor, Tensor, Tensor, bool], means: list[float]) -> None:
    values = case[0]
    found = strengths(values, torch.tensor(means[: values.shape[1]]))
    for unit, column in enumerate(values.T.tolist()):
        first = column[0] - means[unit]
        expected = [(value - means[unit]) / first if first else 0.0 for value in column]
        assert found[:, unit].tolist() == pytest.approx(expected, rel=1e-6)


def test_a_mean_that_is_not_known_gives_no_strength() -> None:
    assert not (strengths(torch.ones(2, 1), torch.tensor([math.nan])) >= 0).any()


@given(st.lists(st.lists(st.integers(-2, 3), min_size=3, max_size=3), min_size=1, max_size=6))
@examples
def test_a_repeat_is_a_code_that_an_earlier_place_has(rows: list[list[int]]) -> None:
    found = repeats(torch.tensor(rows))
    for unit, column in enumerate(zip(*rows, strict=True)):
        assert found[:, unit].tolist() == [code >= 0 and code in column[:place] for place, code in enumerate(column)]
