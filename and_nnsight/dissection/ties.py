"""Which places of a list of best clips were won by value, and how far each clip stands out.

A list ends somewhere, and a tie that reaches its end is cut by the clips' ids, which is to say by the order of the
files. Such places say nothing of the unit.

What is here takes numpy's arrays and torch's tensors, on any device, and gives what it was given.
"""

from __future__ import annotations

from jaxtyping import Bool, Float, Float32, Int64

from .array_kind import ArrayT


def decided_places(
    values: Float[ArrayT, "k unit"], there: Bool[ArrayT, "k unit"], ties: Int64[ArrayT, " unit"], most: int
) -> Bool[ArrayT, "k unit"]:
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
    at_the_cut = following | (last & ~following.any(0))
    others_zero = values + 0
    others_zero[~at_the_cut] = 0.0
    border = others_zero.sum(0)
    at_border = there & (values == border)
    beyond = following.any(0) | (at_border.sum(0) > 1) | ((ties > 0) & (values[-1] == border))
    return chosen & ~(at_border & beyond)


def strengths(values: Float32[ArrayT, "k unit"], means: Float32[ArrayT, " unit"]) -> Float32[ArrayT, "k unit"]:
    """How far each clip lies from its unit's mean, as a share of how far the first one does: 1 for the first.

    0 where the first is no further than the mean itself; empty places have no meaning.
    """
    far = values - means
    shares = far / far[0]
    shares[:, far[0] == 0] = 0.0
    return shares


def repeats(codes: Int64[ArrayT, "k unit"]) -> Bool[ArrayT, "k unit"]:
    """Places whose code an earlier place of the unit has; negative codes are like no other."""
    repeated = codes != codes  # nowhere
    for place in range(1, len(codes)):
        repeated[place] = ((codes[:place] == codes[place]) & (codes[place] >= 0)).any(0)
    return repeated
