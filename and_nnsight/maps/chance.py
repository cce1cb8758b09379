"""Masks of the same size and smoothness as a given one, at random places: what chance keeps of a sound."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor


def moved_masks(
    cells: Float[Tensor, "band column"], count: int, seed: int
) -> Iterator[Float[Tensor, "band column"]]:
    """So many times the same cells, moved round the grid by a random number of bands and columns, or mirrored.

    Values and their neighbours stay what they are, so size and smoothness do, too; only the place is another.
    """
    generator = torch.Generator().manual_seed(seed)
    bands, columns = cells.shape
    places = torch.randperm(bands * columns * 4, generator=generator).tolist()
    places = [place for place in places if place]  # all but the mask itself
    for turn in range(count):
        place, mirrored = divmod(places[turn % len(places)], 4)
        moved = torch.roll(cells, divmod(place, columns), (0, 1))
        flipped = [axis for axis in (0, 1) if mirrored >> axis & 1]
        yield moved.flip(flipped)


def chance(value: float, others: list[float]) -> float:
    """How probable it is that the place of the mask does not matter: the rank of a value among those of moved masks."""
    return (1 + sum(other >= value for other in others)) / (1 + len(others))
