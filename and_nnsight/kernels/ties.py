"""Which places of a list of best clips were won by value, and how far each clip stands out.

A list ends somewhere, and a tie that reaches its end is cut by the clips' ids, which is to say by the order of the
files. Such places say nothing of the unit.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Float32, Int64
from torch import Tensor


def decided_places(
    values: Float[Tensor, "k unit"], there: Bool[Tensor, "k unit"], ties: Int64[Tensor, " unit"], most: int
) -> Bool[Tensor, "k unit"]:
    """Of the first `most` places that are there: those whose value no clip beyond them has.

    values  best first, of either end
    there   places that count: filled, and no copies of earlier ones
    ties    clips that have the last place's value and are not in the list

    Where no place that counts lies beyond them, the list may hold every clip there is: the last value is then decided
    only if one place alone has it, since what several share is what all the rest have.
    """
    nth = there.cumsum(0)
    chosen = there & (nth <= most)
    following = there & (nth == most + 1)
    last = there & (nth == nth[-1])
    border = values.masked_fill(~torch.where(following.any(0), following, last), 0.0).sum(0)
    at_border = there & (values == border)
    beyond = following.any(0) | (at_border.sum(0) > 1) | ((ties > 0) & (values[-1] == border))
    return chosen & ~(at_border & beyond)


def strengths(values: Float32[Tensor, "k unit"], means: Float32[Tensor, " unit"]) -> Float32[Tensor, "k unit"]:
    """How far each clip lies from its unit's mean, as a share of how far the first one does: 1 for the first.

    0 where the first is no further than the mean itself; empty places have no meaning.
    """
    far = values - means
    return torch.where(far[0] != 0, far / far[0], 0.0)


def repeats(codes: Int64[Tensor, "k unit"]) -> Bool[Tensor, "k unit"]:
    """Places whose code an earlier place of the unit has; negative codes are like no other."""
    repeated = torch.zeros(codes.shape, dtype=torch.bool, device=codes.device)
    for place in range(1, len(codes)):
        repeated[place] = ((codes[:place] == codes[place]) & (codes[place] >= 0)).any(0)
    return repeated
