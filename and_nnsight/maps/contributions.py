"""How much each part of a sound counts for a unit, measured: its answers to random halves of the parts.

Explanations of music models by separated sources are made so (audioLIME: Haunschmid et al. 2020, after Ribeiro et al.
2016). A search by gradient may find a rendering of the sound that excites the unit better than the sound does; what is
measured on many halves does not depend on any one.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from .mask_search import Moment
from .response import Response
from .spectrum import Spectrum

_PAIRS = 24  # of halves: each with what it leaves out
_ROWS = 8  # sounds that run side by side
_RIDGE, _QUIET = 0.01, 0.02


def contributions(spectrum: Spectrum, response: Response, moment: Moment, seed: int) -> Float[Tensor, " part"]:
    """What each part adds to the unit's answer, on the scale where silence is 0 and the clip 1: the slopes of a fit."""
    halves = _random_halves(spectrum.cells[0], seed).to(spectrum.waveform)
    answers = []
    with torch.no_grad():
        for some in halves.split(_ROWS):
            sounds = [spectrum.sound(half[:, None].expand(spectrum.cells)) for half in some]
            answers.append(moment.share(response(torch.stack(sounds))))
    design = torch.cat([torch.ones_like(halves[:, :1]), halves], 1).double()
    normal = design.T @ design + _RIDGE * torch.eye(design.shape[1]).to(design)
    return torch.linalg.solve(normal, design.T @ torch.cat(answers).double())[1:].to(halves.dtype)


def answering(energies: Float[Tensor, " part"], contributed: Float[Tensor, " part"]) -> Float[Tensor, " part"]:
    """How much of each part is worth keeping: whole where it has as much of the answer as of the sound's energy.

    Parts that lower the answer are left out. Very quiet parts need a little more of the answer.
    """
    answers = contributed.clamp(min=0)
    share = answers / answers.sum().clamp(min=1e-6)
    return (share / (energies / energies.sum() + _QUIET)).clamp(max=1)


def _random_halves(parts: int, seed: int) -> Float[Tensor, "half part"]:
    """Pairs of halves, 0 and 1, each beside its complement."""
    generator = torch.Generator().manual_seed(seed)
    halves = (torch.rand(_PAIRS, parts, generator=generator) < 0.5).float()
    return torch.stack([halves, 1 - halves], 1).reshape(2 * _PAIRS, parts)
