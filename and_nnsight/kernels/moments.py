"""Count, mean, variance and activity of each unit, in float64: the same bits however the stream was cut and merged.

Sums run over a tree that is laid over the positions of the stream: a leaf is a clip at its position, a node of level L
and index i the clips at positions i·2ᴸ to (i + 1)·2ᴸ − 1, joined of its two halves (Chan, Golub and LeVeque 1979, eq.
2.1, there for sums instead of means). What a node holds depends on its clips alone; a half without clips changes
nothing. So batches, shards and the order of merges leave no trace, and nor does the device: every step is one
operation of IEEE arithmetic.

`dyadic_nodes` is sent to servers as source text, with what it calls: plain functions of torch, plain tuples.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

_ELEMENTS = 1 << 16  # on a CPU: what is in between stays in its cache


class MomentsState(NamedTuple):
    """Moments of pooled values.

    count    clips with a finite value, a unit
    mean     their mean
    squares  sum of squared deviations from the mean
    active   how many values were above zero
    """

    count: Int64[Tensor, " unit"]  # pyright: ignore[reportIncompatibleMethodOverride]  # tuple.count is not wanted
    mean: Float64[Tensor, " unit"]
    squares: Float64[Tensor, " unit"]
    active: Int64[Tensor, " unit"]


def dyadic_nodes(
    values: Float[Tensor, "clip unit"], positions: list[int]
) -> tuple[
    list[tuple[int, int]],
    Float64[Tensor, "node unit"],
    Float64[Tensor, "node unit"],
    Float64[Tensor, "node unit"],
    Int64[Tensor, " unit"],
]:
    """The fewest nodes that hold a batch of pooled values: their levels and indices, count, sum and squares of each.

    The last part is how many values are above zero. Non-finite values are left out. `positions` are the clips' in the
    stream, in any order, each once, and on the host: nothing waits for a GPU.
    """
    order = sorted(range(len(positions)), key=positions.__getitem__)
    if order != sorted(order):  # rows one by one: an index would have to travel to the device
        values = torch.stack([values[row] for row in order])
    keys, pairs = node_keys([positions[row] for row in order])
    step = values.shape[1] or 1
    if values.device.type == "cpu":
        step = max(1, _ELEMENTS // max(1, len(values)))
    parts = [_nodes_of(part, pairs) for part in values.split(step, 1)]
    number, total, squares = (torch.cat([part[place] for part in parts], 1) for place in range(3))
    return keys, number, total, squares, torch.cat([part[3] for part in parts])


def node_keys(positions: list[int]) -> tuple[list[tuple[int, int]], list[tuple[list[int], list[int]]]]:
    """Level and index of the nodes that positions, ascending, make up; and level by level how they come about.

    That is which rows are the left halves of pairs, each with the row after it, and which have nobody beside them.
    """
    keys, steps, level, here = [], [], 0, positions
    while here:
        left = [row for row in range(len(here) - 1) if here[row] % 2 == 0 and here[row + 1] == here[row] + 1]
        paired = set(left) | {row + 1 for row in left}
        alone = [row for row in range(len(here)) if row not in paired]
        keys += [(level, here[row]) for row in alone]
        steps.append((left, alone))
        here, level = [here[row] // 2 for row in left], level + 1
    return keys, steps


def _nodes_of(
    values: Float[Tensor, "clip unit"], steps: list[tuple[list[int], list[int]]]
) -> tuple[
    Float64[Tensor, "node unit"], Float64[Tensor, "node unit"], Float64[Tensor, "node unit"], Int64[Tensor, " unit"]
]:
    """Count, sum and squares of the nodes, by these steps, and how many values are above zero."""
    finite = values.isfinite()
    total = values.double().masked_fill(~finite, 0.0) + 0.0  # −0 + 0 is 0: a sum does not tell where zeros were
    active = (total > 0).sum(0)
    parts = (finite.double(), total, torch.zeros_like(total))
    done = [tuple(part[:0] for part in parts)]
    for left, alone in steps:
        done += [tuple(part[row : row + 1] for part in parts) for row in alone]
        if left:
            parts = join(*_rows(left, 0, parts), *_rows(left, 1, parts))
    number, total, squares = (torch.cat([part[place] for part in done]) for place in range(3))
    return number, total, squares, active


def _rows(left: list[int], beside: int, parts: tuple[Tensor, ...]) -> list[Tensor]:
    """Of each part the rows, or those beside them."""
    first, last = left[0] + beside, left[-1] + beside
    if left == list(range(left[0], left[-1] + 1, 2)):
        return [part[first : last + 1 : 2] for part in parts]
    return [torch.stack([part[row + beside] for row in left]) for part in parts]


def join(
    count: Float64[Tensor, "*node"],
    total: Float64[Tensor, "*node"],
    squares: Float64[Tensor, "*node"],
    other_count: Float64[Tensor, "*node"],
    other_total: Float64[Tensor, "*node"],
    other_squares: Float64[Tensor, "*node"],
) -> tuple[Float64[Tensor, "*node"], Float64[Tensor, "*node"], Float64[Tensor, "*node"]]:
    """Count, sum and squares of two disjoint sets of clips. Which is first does not matter, to the bit."""
    apart = (total * other_count).sub_(other_total * count).square_()
    both = count + other_count
    weight = (count * other_count).mul_(both).clamp_(min=1.0)
    return both, total + other_total, apart.div_(weight).add_(squares + other_squares)


def variance(state: MomentsState) -> Float64[Tensor, " unit"]:
    """The population variance (divided by the count); 0 where no clip came."""
    return state.squares / state.count.clamp(min=1)
