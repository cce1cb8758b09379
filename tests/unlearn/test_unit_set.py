"""A choice of units, its masks, and random units like it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from and_nnsight.unlearn import ChoiceError, UnitChoice, matched
from tests.oracle import examples

WIDTHS = {"first": 12, "second": 7, "third": 5}


@examples
@given(st.lists(st.tuples(st.sampled_from(list(WIDTHS)), st.integers(0, 4)), min_size=1), st.randoms())
def test_row_i_of_a_mask_is_unit_i_whatever_order_units_came_in(pairs, random) -> None:
    shuffled = list(pairs)
    random.shuffle(shuffled)
    masks = UnitChoice.of(shuffled).masks(WIDTHS)
    for site, width in WIDTHS.items():
        wanted = [(site, unit) in pairs for unit in range(width)]
        assert (site in masks) == any(wanted)
        if site in masks:
            assert masks[site].tolist() == wanted
    assert UnitChoice.of(shuffled) == UnitChoice.of(pairs)
    assert hash(UnitChoice.of(shuffled)) == hash(UnitChoice.of(pairs))


def test_units_come_once_each_ascending_and_sites_without_any_are_left_out() -> None:
    choice = UnitChoice({"first": [5, 1, 5, 0], "second": []})
    assert choice.units == {"first": (0, 1, 5)}
    assert (choice.count, choice.counts) == (3, {"first": 3})
    assert UnitChoice.of([("first", np.int64(3))]).units == {"first": (3,)}
    assert UnitChoice({}).count == 0


@pytest.mark.parametrize("index", [-1, 1.0, "1", True])
def test_a_unit_is_a_whole_number_from_0_on(index: object) -> None:
    with pytest.raises(ChoiceError, match="whole number"):
        UnitChoice.of([("first", index)])


def test_units_and_sites_that_are_not_there_are_named() -> None:
    with pytest.raises(ChoiceError, match="units 0 to 11, not 12"):
        UnitChoice({"first": [12]}).masks(WIDTHS)
    with pytest.raises(ChoiceError, match="no site 'fourth'.*first, second"):
        UnitChoice({"fourth": [0]}).masks(WIDTHS)


def test_a_choice_is_a_json_file_and_comes_back_equal(tmp_path: Path) -> None:
    choice = UnitChoice({"second": [3, 1]}, "ocp", "dog", {"words": ["dog"], "seed": 0})
    choice.save(tmp_path / "choice.json")
    assert UnitChoice.load(tmp_path / "choice.json") == choice
    assert json.loads((tmp_path / "choice.json").read_text())["units"] == {"second": [1, 3]}


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"kind": "and-nnsight unit choice 1"}', '{"kind": "other"}'])
def test_another_file_is_no_choice(tmp_path: Path, content: str) -> None:
    (tmp_path / "other.json").write_text(content)
    with pytest.raises(ChoiceError, match="no choice of units"):
        UnitChoice.load(tmp_path / "other.json")
    with pytest.raises(FileNotFoundError):
        UnitChoice.load(tmp_path / "none.json")


CHOICE = UnitChoice({"first": [0, 1, 2, 3], "third": [4]}, "ocp", "dog")


def test_random_units_are_as_many_at_every_site() -> None:
    drawn = [matched(CHOICE, WIDTHS, seed) for seed in range(20)]
    assert all(draw.counts == CHOICE.counts for draw in drawn)
    assert len({draw.units["first"] for draw in drawn}) > 10
    assert all(draw.method == "random" and draw.concept == "dog" for draw in drawn)


def test_a_draw_is_the_seeds_and_the_sites_alone() -> None:
    alone = UnitChoice({"third": [2]})
    assert matched(CHOICE, WIDTHS, 3) == matched(CHOICE, WIDTHS, 3)
    assert matched(alone, WIDTHS, 3).units["third"] == matched(CHOICE, WIDTHS, 3).units["third"]
    both = {"first": [0], "second": [0]}
    wide = {"first": 1000, "second": 1000}
    assert len({matched(UnitChoice(both), wide, 0).units[site] for site in both}) == 2


def test_every_unit_is_drawn_as_often_as_the_others() -> None:
    counts = torch.zeros(WIDTHS["first"])
    for seed in range(3000):
        counts[list(matched(CHOICE, WIDTHS, seed).units["first"])] += 1
    assert (counts / 3000 - 4 / 12).abs().max() < 0.05


def test_units_apart_are_none_of_the_choice() -> None:
    for seed in range(20):
        drawn = matched(CHOICE, WIDTHS, seed, apart=True)
        assert drawn.counts == CHOICE.counts
        assert not set(drawn.units["first"]) & set(CHOICE.units["first"])
    with pytest.raises(ChoiceError, match="no 4 others"):
        matched(UnitChoice({"third": [0, 1, 2, 3]}), WIDTHS, apart=True)
