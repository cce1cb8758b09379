"""Spectra under masks, the parts that masks are made of, and masks elsewhere."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from and_nnsight.maps.chance import chance, moved_masks
from and_nnsight.maps.parts import common_fate, sounding_together
from and_nnsight.maps.spectrum import Grid, Spectrum
from tests.sounds_for_tests import noise


def spectrum(samples: int = 8_000, rate: int = 16_000, seed: int = 0) -> Spectrum:
    return Spectrum(torch.from_numpy(noise(samples / 16_000, seed)), rate)


@pytest.mark.parametrize("samples", [400, 511, 8_000, 8_001, 48_123])
@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
def test_a_mask_of_ones_gives_the_sound_back_and_one_of_zeros_nothing(samples: int, rate: int) -> None:
    clip = spectrum(samples, rate)
    cells = torch.ones(clip.cells)
    assert torch.allclose(clip.sound(cells), clip.waveform, atol=1e-6)
    assert torch.equal(clip.sound(0 * cells), torch.zeros(samples))


def test_masks_lie_between_zero_and_one_and_are_linear_in_time() -> None:
    clip = spectrum(32_000)
    cells = torch.rand(clip.cells, generator=torch.Generator().manual_seed(0))
    mask = clip.mask(cells)
    assert mask.shape == (len(clip.hz), len(clip.seconds))
    assert float(mask.min()) >= 0
    assert float(mask.max()) <= 1 + 1e-6
    rows = torch.linspace(0, 1, clip.cells[1]).expand(clip.cells)
    expected = torch.linspace(0, 1, mask.shape[1]).expand(mask.shape)
    assert torch.allclose(clip.mask(rows), expected, atol=1e-5)


def test_parts_add_up_and_come_again_with_the_seed() -> None:
    levels = torch.rand(40, 30, generator=torch.Generator().manual_seed(0))
    parts = sounding_together(levels, 4, 1)
    assert torch.allclose(parts.sum(0), torch.ones(40, 30), atol=1e-5)
    assert torch.equal(parts, sounding_together(levels, 4, 1))
    assert not torch.equal(parts, sounding_together(levels, 4, 2))


def test_silence_has_parts_too() -> None:
    parts = sounding_together(torch.zeros(10, 5), 3, 0)
    assert parts.isfinite().all()


def test_sounds_of_other_times_and_pitches_are_parts_of_their_own() -> None:
    levels = torch.full((60, 50), 1e-3)
    levels[5:9, :20] = 1.0
    levels[30:50, 25:] = 0.5
    parts = sounding_together(levels, 2, 0)
    first = parts[:, 6, 10]
    assert float(first.max()) > 0.95
    other = parts[:, 40, 40]
    assert float(other.max()) > 0.95
    assert int(first.argmax()) != int(other.argmax())


def test_moved_masks_are_of_the_same_cells_and_keep_another_sound() -> None:
    clip = spectrum(32_000)
    cells = torch.rand(clip.cells, generator=torch.Generator().manual_seed(0)).round()
    masks = moved_masks(clip, cells, 12, seed=3)
    assert len(masks) == 12
    kept = clip.sound(cells)
    for mask in masks:
        assert sorted(mask.flatten().tolist()) == sorted(cells.flatten().tolist())
        assert float((clip.sound(mask) - kept).square().sum()) > 0.02 * float(kept.square().sum())
    again = moved_masks(clip, cells, 12, seed=3)
    assert all(torch.equal(one, other) for one, other in zip(masks, again, strict=True))


def test_masks_that_cannot_move_have_no_others() -> None:
    clip = spectrum(8_000)
    assert moved_masks(clip, torch.ones(clip.cells), 5, seed=0) == []


def test_chance_is_the_rank_among_the_moved() -> None:
    assert chance(2.0, [1.0, 1.5, 0.0]) == 1 / 4
    assert chance(1.0, [1.0, 1.5, 0.0]) == 3 / 4
    assert chance(1.0, []) == 1


def test_a_grid_says_how_coarse_masks_are() -> None:
    clip = Spectrum(torch.from_numpy(noise(4.0)), 16_000, Grid(parts=3, seconds=1.0))
    assert clip.cells == (3, 5)
    assert np.isclose(clip.seconds[-1], 4.0, atol=0.01)


def test_parts_lean_on_those_that_grow_and_fade_with_them_and_on_no_others() -> None:
    growing, fading = torch.linspace(0.1, 1, 50), torch.linspace(1, 0.1, 50)
    magnitudes = torch.stack([growing, growing, fading])
    parts = torch.eye(3)[:, :, None].expand(3, 3, 50)
    weights = common_fate(magnitudes, parts)
    assert torch.allclose(weights, torch.tensor([[0.5, 0.5, 0], [0.5, 0.5, 0], [0, 0, 1.0]]), atol=1e-5)


def test_leaning_cells_stay_between_the_lowest_and_the_highest() -> None:
    clip = spectrum(32_000)
    cells = torch.rand(clip.cells, generator=torch.Generator().manual_seed(0))
    leaning = clip.leaning(cells)
    assert cells.min() <= leaning.min() and leaning.max() <= cells.max() + 1e-6
    assert torch.allclose(clip.leaning(torch.ones(clip.cells)), torch.ones(clip.cells))
