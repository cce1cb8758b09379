"""Parts of a spectrogram that sound together: what a mask keeps or removes as one, or nearly so.

A mask over bins and frames that is free to choose keeps what of a sound a unit reads, some quiet partials perhaps, and
lets the rest go. What sounds together mostly comes from one source, so a mask over such parts keeps the source
(Parekh et al. 2022 explain classifiers by them). They are found by non-negative matrix factorisation (Lee and Seung
1999), with the Kullback-Leibler divergence.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

_ROUNDS = 100
_COMPRESSION = 0.5  # of magnitudes: the quiet ones count, too
_LEAST = 1e-8


def sounding_together(magnitudes: Float[Tensor, "bin frame"], count: int, seed: int) -> Float[Tensor, "part bin frame"]:
    """The share that each of so many parts has in every bin and frame; shares add up to 1."""
    generator = torch.Generator().manual_seed(seed)
    bins, frames = magnitudes.shape
    levels = magnitudes**_COMPRESSION
    levels = levels / levels.mean().clamp(min=_LEAST) + _LEAST
    spectra = (torch.rand(bins, count, generator=generator) + 0.1).to(levels)
    courses = (torch.rand(count, frames, generator=generator) + 0.1).to(levels)
    for _ in range(_ROUNDS):
        courses = courses * (spectra.T @ (levels / (spectra @ courses + _LEAST))) / (spectra.sum(0)[:, None] + _LEAST)
        spectra = spectra * ((levels / (spectra @ courses + _LEAST)) @ courses.T) / (courses.sum(1) + _LEAST)
    parts = (spectra.T[:, :, None] * courses[:, None, :]) ** (1 / _COMPRESSION)
    return (parts + _LEAST**2) / (parts + _LEAST**2).sum(0)


def common_fate(
    magnitudes: Float[Tensor, "bin frame"], parts: Float[Tensor, "part bin frame"]
) -> Float[Tensor, "part part"]:
    """How much each part leans on every other; each row adds up to 1.

    Parts that grow and fade together mostly come from one source (common fate: Bregman 1990): the weight is the
    correlation of their courses in time, none where that is negative, and louder parts weigh more.
    """
    courses = (magnitudes * parts).sum(1) ** _COMPRESSION
    centred = courses - courses.mean(1, keepdim=True)
    unit = centred / centred.norm(dim=1, keepdim=True).clamp(min=_LEAST)
    alike = (unit @ unit.T).clamp(min=0).fill_diagonal_(1.0)
    loudness = (magnitudes.square() * parts).sum((1, 2)).sqrt() + _LEAST
    weights = alike * loudness
    return weights / weights.sum(1, keepdim=True)
