"""Average precision of activations as detectors of concepts: exact over a table, or from counts in a unit's own bins.

The one home of average precision. It is the sum over distinct activations, from the highest down, of (recall gained)
× (precision there): equal activations count together. Over a stream activations are put into 64 bins a unit, whose
edges are fixed from its first 256 clips, and all clips of a bin count as equal. The bins are narrow where precision
is decided: at the top. Up to the largest of the 256 they are a quarter of an octave of rank wide (ranks 1, 2, 3 … 8,
10, 11, 13 … 215, 256), and where many of the 256 are equal, their edges are spread evenly over the values above.
Beyond the largest, bins are as wide as a quarter of an octave of rank would be if the tail went on exponentially at
the mean excess of the 16 largest, for five octaves, then ever wider. A unit that is constant on its first clips gets
bins that grow by a quarter of an octave from its value.

Binned average precision lies where the counts allow, mostly below the exact one. Over 3,000 random clips of ten kinds
(normal to heavy tails, rectified, rarely active, negative; concepts of 1 clip in 2 to 1 in 500) it was off by 0.001 to
0.004 in the mean, by less than 0.09 in 99 of 100 cases and by 0.21 at worst: where the few clips of a concept, none
among the first 256, lie far above all others.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from einops import rearrange, repeat
from jaxtyping import Bool, Float32, Float64, Int64, Integer
from torch import Tensor

FIRST = 256  # clips that fix the edges
BINS = 64
_RANKS = sorted({round(2 ** (quarter / 4)) for quarter in range(4 * 8 + 1)}, reverse=True)  # 256 … 3, 2, 1
_TOP = 16  # of the largest, the mean excess is taken
_STEP = math.log(2) / 4  # a quarter of an octave of rank, in mean excesses
_EVEN = 20  # steps of equal width in the tail
_TAIL_OFFSETS = (
    *(_STEP * place for place in range(1, _EVEN + 1)),
    *(_STEP * _EVEN * 2 ** (place / 2) for place in range(1, BINS - 2 - len(_RANKS) - _EVEN + 1)),
)
_CONSTANT_OFFSETS = tuple(2 ** (place / 4) for place in range(-34, BINS - 3 - 34))
_PAIRS = 64  # clips with a concept that are counted at once: bounds the memory
_ELEMENTS = 1 << 22


def bin_edges(values: Float32[Tensor, "clip unit"]) -> Float32[Tensor, "unit edge"]:
    """Ascending edges of 64 bins a unit (63 of them), from its first 256 values; what is not finite counts as 0."""
    ordered = values.double().nan_to_num(0.0, 0.0, 0.0).sort(0, descending=True).values
    lowest, largest = ordered[-1], ordered[0]
    top = ordered[:_TOP] - ordered[_TOP]
    excess = top.sum(0) / (top > 0).sum(0).clamp(min=1)
    scale = torch.where(excess > 0, excess, largest - lowest)
    tail = largest + torch.outer(_offsets(_TAIL_OFFSETS, values.device), scale)
    usual = torch.cat([_spread(ordered[torch.tensor(_RANKS, device=values.device) - 1]), tail])
    size = torch.where(largest == 0, 1.0, largest.abs())
    constant = torch.cat([largest[None], largest + torch.outer(_offsets(_CONSTANT_OFFSETS, values.device), size)])
    edges = torch.where(lowest == largest, constant, usual).float()
    # What equals the largest value and what lies above it do not share a bin.
    above = torch.nextafter(largest.float(), torch.full_like(largest, torch.inf).float())
    edges = torch.cat([edges, above[None]]).sort(0).values
    return rearrange(edges, "edge unit -> unit edge").contiguous()


def _spread(edges: Float64[Tensor, "edge unit"]) -> Float64[Tensor, "edge unit"]:
    """Ascending edges; of edges that are equal all but one are spread evenly up to the highest edge."""
    again = torch.cat([edges[1:] == edges[:-1], torch.zeros_like(edges[:1], dtype=torch.bool)])
    share = again.cumsum(0) / (again.sum(0) + 1)
    return torch.where(again, edges + (edges[-1] - edges) * share, edges).sort(0).values


def _offsets(values: tuple[float, ...], device: torch.device) -> Float64[Tensor, " edge"]:
    return torch.tensor(values, dtype=torch.float64, device=device)


def bins_of(values: Float32[Tensor, "clip unit"], edges: Float32[Tensor, "unit edge"]) -> Int64[Tensor, "unit clip"]:
    """Which bin each value falls into: how many edges are not above it."""
    return torch.searchsorted(edges, rearrange(values, "clip unit -> unit clip").contiguous(), right=True)


def count_in_bins(
    positives: Integer[Tensor, "unit concept bin"],
    everything: Integer[Tensor, "unit bin"],
    bins: Int64[Tensor, "unit clip"],
    fits: Bool[Tensor, "clip concept"],
) -> None:
    """Count clips, in place: those of each concept in `positives`, all in `everything`. `fits` may be on the CPU."""
    ones = everything.new_ones(()).expand_as(bins)
    everything.scatter_add_(1, bins, ones)
    flat = positives.view(len(positives), -1)
    clips, concepts = (part.to(bins.device) for part in fits.nonzero(as_tuple=True))
    for clip, concept in zip(clips.split(_PAIRS), concepts.split(_PAIRS), strict=True):
        places = bins[:, clip] + concept * positives.shape[2]
        flat.scatter_add_(1, places, flat.new_ones(()).expand_as(places))


def average_precision(
    positives: Integer[Tensor, "unit concept bin"], everything: Integer[Tensor, "unit bin"]
) -> Float64[Tensor, "unit concept"]:
    """Average precision, bins ascending and all clips of a bin being equal; NaN for concepts without a clip."""
    precisions = []
    for units in _parts(len(positives), positives.shape[1] * positives.shape[2]):
        gained = positives[units].flip(2).double()
        seen = rearrange(everything[units].flip(1).double().cumsum(1), "unit bin -> unit 1 bin")
        total = gained.sum(2)
        precisions.append((gained * gained.cumsum(2) / seen.clamp(min=1)).sum(2) / total)  # 0 / 0 is NaN
    return torch.cat(precisions)


def exact_average_precision(
    values: Float32[Tensor, "clip unit"], fits: Bool[Tensor, "clip concept"]
) -> Float64[Tensor, "unit concept"]:
    """Average precision with a bin for every distinct value; time goes with clips × units × concepts."""
    clips, concepts = fits.shape
    precisions = []
    for units in _parts(values.shape[1], clips * concepts):
        ordered, order = rearrange(values[:, units], "clip unit -> unit clip").sort(1)
        rank = torch.zeros_like(order)
        rank[:, 1:] = (ordered[:, 1:] != ordered[:, :-1]).cumsum(1)
        bins = torch.empty_like(rank).scatter_(1, order, rank)
        everything = torch.zeros(bins.shape, dtype=torch.int32, device=bins.device)
        positives = repeat(torch.zeros_like(everything), "unit bin -> unit concept bin", concept=concepts).contiguous()
        count_in_bins(positives, everything, bins, fits)
        precisions.append(average_precision(positives, everything))
    return torch.cat(precisions)


def average_precision_at(
    ranked: Integer[Tensor, "prediction clip"], which: Int64[Tensor, " unit"], clips: Int64[Tensor, "unit most"]
) -> Float64[Tensor, " unit"]:
    """Average precision of one prediction for each unit, from the places of the few clips that count for it.

    ranked  the place of each clip in each prediction, from 1: how many clips are predicted as high or higher
    which   the prediction that is each unit's
    clips   the places of the clips that it should detect, filled up with −1; NaN for a unit without any
    """
    precisions = [torch.zeros(0, dtype=torch.float64, device=which.device)]
    for units in _parts(len(which), clips.shape[1]):
        there = clips[units] >= 0
        place = ranked[which[units, None], clips[units].clamp(min=0)].int()
        place = place.masked_fill(~there, torch.iinfo(torch.int32).max).sort(1).values
        reached = torch.searchsorted(place, place, right=True)
        counts = there.sum(1)
        within = torch.arange(place.shape[1], device=place.device) < counts[:, None]
        precision = (reached.double() / place).masked_fill(~within, 0.0)
        precisions.append(precision.sum(1) / counts)
    return torch.cat(precisions)


def _parts(units: int, elements_a_unit: int) -> list[slice]:
    step = max(1, _ELEMENTS // max(1, elements_a_unit))
    return [slice(start, stop) for start, stop in pairwise([*range(0, units, step), units])]
