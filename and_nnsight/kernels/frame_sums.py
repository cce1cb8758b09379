"""How activations go with what is said of stretches of a clip, in sums that are added up clip by clip.

The frames of one clip are no independent draws, and their activations drift with the clip. So all sums are of clips:
of a clip with x a unit's activations on its T stretches, x̄ their mean, and y = 1 where a stretch carries a concept (Y
times),

    s = Σ (x − x̄) y = Σ (x − x̄)(y − Y/T)

is the covariance within the clip, times T. Turned round by a number of stretches drawn at random (the end goes on at
the beginning), an annotation keeps its lengths and gaps, and s is 0 in the mean, whatever x and y are. A test of the
mean of s over clips, each of which is one draw, is Student's t; `frame_t` has it. It sees only the turns that clips
happen to have: a unit that dips once in a clip, and a rare concept, meet in few, and s is nearly the same in all
others. So `frame_z` divides the sum of s by its standard deviation over all turns of all clips, which is known exactly:
by Parseval, the mean of s² over the T turns of a clip is Σ |X|² |Y|² / T² over the frequencies of x − x̄ and y − Y/T.

With the sums between clips, Σ x̄ Y and the like, s gives the correlation over all stretches of all clips.

Every sum is two float64 (see `correlation`), and what a clip adds to it depends on that clip alone: batches, shards and
the order of merges do not show in a result.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from einops import rearrange
from jaxtyping import Bool, Float32, Float64, Int64
from torch import Tensor

from .correlation import add_exactly

_ALONE = 3  # Σ x, Σ T x̄², Σ (x − x̄)²
_CROSSED = 6  # Σ x̄ Y; Σ s, Σ s²; the same for annotations that were turned round; the variance over all turns


class FrameSums(NamedTuple):
    """Sums over clips.

    clips       how many came
    stretches   how many these have
    carrying    stretches that carry a concept
    changing    clips of which some stretches carry a concept, and others do not
    incomplete  clips on which a unit was not finite on some stretch; there it counts as 0
    lowest, highest  of a unit's activations
    unit_sums   Σ x, Σ T x̄², Σ (x − x̄)²
    crossed     Σ x̄ Y, Σ s, Σ s²; Σ s, Σ s² for annotations that were turned round; variance of s over all turns
    …_rest      what the sum of that name lost to rounding
    """

    clips: Int64[Tensor, ""]
    stretches: Int64[Tensor, ""]
    carrying: Int64[Tensor, " concept"]
    changing: Int64[Tensor, " concept"]
    incomplete: Int64[Tensor, " unit"]
    lowest: Float32[Tensor, " unit"]
    highest: Float32[Tensor, " unit"]
    unit_sums: Float64[Tensor, "3 unit"]
    crossed: Float64[Tensor, "6 unit concept"]
    unit_sums_rest: Float64[Tensor, "3 unit"]
    crossed_rest: Float64[Tensor, "6 unit concept"]


def empty_frame_sums(units: int, concepts: int, device: torch.device | str | None = None) -> FrameSums:
    """The sums over no clip."""
    sums = {"dtype": torch.float64, "device": device}
    counts = {"dtype": torch.int64, "device": device}
    return FrameSums(
        torch.zeros((), **counts),
        torch.zeros((), **counts),
        torch.zeros(concepts, **counts),
        torch.zeros(concepts, **counts),
        torch.zeros(units, **counts),
        torch.full((units,), torch.inf, device=device),
        torch.full((units,), -torch.inf, device=device),
        torch.zeros(_ALONE, units, **sums),
        torch.zeros(_CROSSED, units, concepts, **sums),
        torch.zeros(_ALONE, units, **sums),
        torch.zeros(_CROSSED, units, concepts, **sums),
    )


def add_clip(
    sums: FrameSums,
    values: Float32[Tensor, "stretch unit"],
    carried: Bool[Tensor, "stretch concept"],
    present: Int64[Tensor, " present"],
    turn: int,
    units: slice | None = None,
) -> None:
    """Add a clip's stretches to some units' sums, in place.

    present  the concepts that some stretch carries: all others add nothing
    turn     by how many stretches the annotation is turned round for the sums that are to show chance
    units    which they are, where a site's come in parts; None: all
    """
    units = units or slice(None)
    x = values.double()
    finite = x.isfinite().all(0)
    x = x.masked_fill(~finite, 0.0)
    beyond = x - x[:1]  # exactly 0 for a unit that is constant on the clip
    from_mean = beyond - beyond.mean(0)
    total, squares = x.sum(0), (from_mean * from_mean).sum(0)
    alone = torch.stack([total, total * total / len(x), squares])
    add_exactly(sums.unit_sums[:, units], sums.unit_sums_rest[:, units], alone)
    sums.incomplete[units] += ~finite
    sums.lowest[units] = torch.minimum(sums.lowest[units], values.amin(0))
    sums.highest[units] = torch.maximum(sums.highest[units], values.amax(0))
    if len(present):
        more = _crossed(x, from_mean, carried[:, present].double(), turn)
        table, rest = sums.crossed[:, units], sums.crossed_rest[:, units]
        part, part_rest = table[:, :, present], rest[:, :, present]
        add_exactly(part, part_rest, more)
        table[:, :, present], rest[:, :, present] = part, part_rest


def _crossed(
    x: Float64[Tensor, "stretch unit"],
    from_mean: Float64[Tensor, "stretch unit"],
    y: Float64[Tensor, "stretch present"],
    turn: int,
) -> Float64[Tensor, "6 unit present"]:
    count = y.sum(0)
    throughout = count == len(y)
    by_unit = rearrange(from_mean, "stretch unit -> unit stretch")
    within = (by_unit @ y).masked_fill(throughout, 0.0)
    turned = (by_unit @ y.roll(turn, 0)).masked_fill(throughout, 0.0)
    between = torch.outer(x.mean(0), count)
    power = _power(from_mean).T @ _power(y - count / len(y), both_sides=True)
    over_turns = (power / len(y) ** 2).masked_fill(throughout, 0.0)
    return torch.stack([between, within, within * within, turned, turned * turned, over_turns])


def _power(
    values: Float64[Tensor, "stretch column"], *, both_sides: bool = False
) -> Float64[Tensor, "frequency column"]:
    """Squared magnitudes of the spectrum of each column; `both_sides`: those that stand for two frequencies twice."""
    power = torch.fft.rfft(values, dim=0).abs().square()
    if both_sides:
        power[1 : (len(values) + 1) // 2] *= 2
    return power


def count_clip(sums: FrameSums, carried: Bool[Tensor, "stretch concept"]) -> None:
    """Count a clip and its stretches, in place: once, however many parts its units come in."""
    count = carried.sum(0)
    sums.clips.add_(1)
    sums.stretches.add_(len(carried))
    sums.carrying.add_(count)
    sums.changing.add_((count > 0) & (count < len(carried)))


def merge_frame_sums(sums: FrameSums, other: FrameSums) -> None:
    """Add the sums over other clips, in place."""
    for name in ("clips", "stretches", "carrying", "changing", "incomplete"):
        getattr(sums, name).add_(getattr(other, name))
    torch.minimum(sums.lowest, other.lowest, out=sums.lowest)
    torch.maximum(sums.highest, other.highest, out=sums.highest)
    for name in ("unit_sums", "crossed"):
        rest = getattr(sums, f"{name}_rest")
        add_exactly(getattr(sums, name), rest, getattr(other, name))
        rest += getattr(other, f"{name}_rest")


def frame_pearson(sums: FrameSums) -> Float64[Tensor, "unit concept"]:
    """Correlation over all stretches; 0 where either side is constant, NaN for units that were not finite somewhere."""
    stretches, carrying = sums.stretches.double(), sums.carrying.double()
    total, between, within = sums.unit_sums + sums.unit_sums_rest
    crossed = (sums.crossed + sums.crossed_rest)[:2].sum(0)
    covariance = crossed - torch.outer(total, carrying / stretches)
    of_units = (within + between - total * total / stretches).clamp(min=0).sqrt()
    of_concepts = (carrying - carrying * carrying / stretches).clamp(min=0).sqrt()
    correlation = covariance / rearrange(of_units, "unit -> unit 1") / of_concepts
    constant = (sums.lowest >= sums.highest) | (of_units == 0)
    correlation = correlation.masked_fill(rearrange(constant, "unit -> unit 1") | (of_concepts == 0), 0.0)
    return _of_complete(sums, correlation.clamp(-1, 1))


def frame_t(sums: FrameSums, *, turned: bool = False) -> Float64[Tensor, "unit concept"]:
    """Student's t, with `changing` − 1 degrees of freedom, of the mean of s over the clips in which a concept changes.

    turned  of the annotations that were turned round

    NaN where there is nothing to test: a concept that changes in fewer than two clips, a unit that is constant on all
    of them, or was not finite somewhere.
    """
    table = sums.crossed + sums.crossed_rest
    total, squares = table[3:5] if turned else table[1:3]
    clips = sums.changing.double()
    mean = total / clips
    variance = ((squares - total * mean) / (clips - 1)).clamp(min=0)
    t = mean / (variance / clips).sqrt()
    return _of_complete(sums, t.masked_fill((clips < 2) | (squares == 0), torch.nan))


def frame_z(sums: FrameSums, *, turned: bool = False) -> Float64[Tensor, "unit concept"]:
    """The sum of s over clips, in standard deviations over all turns. NaN where `frame_t` is."""
    table = sums.crossed + sums.crossed_rest
    z = (table[3] if turned else table[1]) / table[5].clamp(min=0).sqrt()
    return _of_complete(sums, z.masked_fill((sums.changing < 2) | (table[5] <= 0), torch.nan))


def _of_complete(sums: FrameSums, values: Float64[Tensor, "unit concept"]) -> Float64[Tensor, "unit concept"]:
    return values.masked_fill(rearrange(sums.incomplete > 0, "unit -> unit 1") | (sums.clips == 0), torch.nan)
