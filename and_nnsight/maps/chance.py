"""Masks like a given one that keep something else: what chance keeps of a sound."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from .spectrum import Spectrum

_CANDIDATES = 20  # for each that is wanted
_SAME = 0.1  # masks whose kept sounds differ by less of their energy keep the same


def moved_masks(
    spectrum: Spectrum, cells: Float[Tensor, "part column"], count: int, seed: int
) -> list[Float[Tensor, "part column"]]:
    """At most so many masks of the same cells that keep another sound: rows change places, columns move round.

    Values and their course in time stay what they are, so smoothness does, too. Of twenty times as many at random,
    those are taken whose kept energy is nearest to the given mask's: it is not to stand out by its size alone. Fewer
    where the clip does not have so many.
    """
    generator = torch.Generator().manual_seed(seed)
    levels = spectrum.values.abs()
    kept = levels * spectrum.mask(cells)
    energy = float(kept.square().sum())
    distances: dict[tuple[float, ...], tuple[float, Tensor]] = {}
    for _ in range(count * _CANDIDATES):
        rows = torch.randperm(cells.shape[0], generator=generator).to(cells.device)
        moved = torch.roll(cells[rows], int(torch.randint(cells.shape[1], (), generator=generator)), 1)
        name = tuple(moved.mul(10).round().flatten().tolist())
        if name in distances:
            continue
        other = levels * spectrum.mask(moved)
        if float((other - kept).square().sum()) > _SAME * energy:
            distances[name] = (abs(float(other.square().sum()) - energy), moved)
    nearest = sorted(distances.items(), key=lambda item: (item[1][0], item[0]))
    return [moved for _, (_, moved) in nearest[:count]]


def chance(value: float, others: list[float]) -> float:
    """How probable it is that the place of a mask does not matter: the rank of a value among those of moved masks."""
    return (1 + sum(other >= value for other in others)) / (1 + len(others))
