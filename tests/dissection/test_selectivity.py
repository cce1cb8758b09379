"""Selectivity: by hand, of units that answer to few clips, to one, to all; and turns among units that are alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from and_nnsight import Dissection
from and_nnsight.dissection.files import site_file
from and_nnsight.dissection.selectivity import most_selective_units, selectivity
from and_nnsight.storage import read_tensors, write_tensors
from tests.explain.small_dissection import SITES, small_dissection


def changed(folder: Path, site: str, **tensors: torch.Tensor) -> Dissection:
    """A small dissection with other tensors at a site."""
    small_dissection(folder) if not folder.exists() else None
    path = site_file(folder, site)
    write_tensors(path, read_tensors(path)[0] | tensors)
    return Dissection.load(folder)


def test_it_is_the_mean_of_the_standardised_top_clips(tmp_path: Path) -> None:
    values = torch.tensor([[5.0, 3.0, 9.0, 3.0], [3.0, 2.9, 8.0, 1.0]])
    mean, variance = torch.tensor([1.0, 1.0, 7.0, 0.0]), torch.tensor([4.0, 1.0, 1.0, 1.0])
    dissection = changed(tmp_path / "run", "first", top_values=values, mean=mean, variance=variance)
    expected = [(4 / 2 + 2 / 2) / 2, (2.0 + 1.9) / 2, (2.0 + 1.0) / 2, (3.0 + 1.0) / 2]
    assert selectivity(dissection, "first").tolist() == pytest.approx(expected)


def test_a_place_that_is_no_evidence_counts_as_nothing(tmp_path: Path) -> None:
    """The second of two clips lies less than a fifth as far from the mean as the first."""
    values = torch.tensor([[10.0] * 4, [1.0] * 4])
    dissection = changed(tmp_path / "run", "first", top_values=values)
    assert selectivity(dissection, "first").tolist() == pytest.approx([5.0] * 4)


def test_a_unit_that_never_varies_or_was_never_finite_has_none(tmp_path: Path) -> None:
    nan = float("nan")
    dissection = changed(
        tmp_path / "run", "first", variance=torch.tensor([0.0, nan, 1.0, 1.0]), mean=torch.tensor([0.0, nan, 0.0, 0.0])
    )
    values = selectivity(dissection, "first")
    assert np.isfinite(values).all() and values[:2].tolist() == [0.0, 0.0]


def test_the_most_selective_come_first(tmp_path: Path) -> None:
    values = torch.stack([torch.tensor([2.0, 8.0, 4.0, 6.0]), torch.tensor([1.0, 4.0, 2.0, 3.0])])
    clips = torch.tensor([[0, 2, 4, 5], [1, 3, 5, 4]])
    dissection = changed(tmp_path / "run", "first", top_values=values, top_clips=clips)
    chosen = most_selective_units(dissection, 4, ["first"])
    assert chosen[:2] == [("first", 1), ("first", 3)]
    assert sorted(chosen[2:]) == [("first", 0), ("first", 2)]
    assert most_selective_units(dissection, 2, ["first"]) == chosen[:2]


def test_units_that_answer_to_the_same_clips_take_turns(tmp_path: Path) -> None:
    values = torch.stack([torch.tensor([10.0, 9.0, 8.0, 5.0]), torch.tensor([9.0, 8.0, 7.0, 4.0])])
    clips = torch.tensor([[0, 0, 0, 2], [1, 1, 1, 3]])
    dissection = changed(tmp_path / "run", "first", top_values=values, top_clips=clips)
    assert [unit for _, unit in most_selective_units(dissection, 4, ["first"])] == [0, 3, 1, 2]


def test_no_unit_comes_twice_and_none_without_evidence(tmp_path: Path) -> None:
    tied = torch.zeros(2, SITES["first"])
    ties = torch.full((SITES["first"],), 4)
    dissection = changed(tmp_path / "run", "first", top_values=tied, top_ties=ties)
    chosen = most_selective_units(dissection, 99)
    assert len(set(chosen)) == len(chosen) == SITES["second"]
    assert {site for site, _ in chosen} == {"second"}
    assert np.isfinite(selectivity(dissection, "first")).all()
