"""How activations go with scores over a stream of clips, from sums of products of their powers.

With a unit's activation a and a concept's score p on each clip, and x = a − a₀ and y = p − p₀ for references a₀ and p₀,
the sums Σ xⁱ, Σ yʲ (up to the 6th power) and Σ xⁱ yʲ (i, j = 1..3) give every moment about any other point:

    Σ (x − α)ⁱ (y − β)ʲ = Σₖ Σₗ C(i,k) C(j,l) (−α)ⁱ⁻ᵏ (−β)ʲ⁻ˡ Σ xᵏ yˡ

so means, which are known only at the end, need no second pass. A reference is the first value that came. As one of the
data it is no farther from their mean than the farthest clip, so that terms which cancel are at most about n times as
large as the norms that they are divided by: over n clips the similarities are off by n · 1e-15 at most, whatever the
values' offset, the batches and the order of merges.

Each sum is two float64, of which the second has what the first lost to rounding (Knuth's two-sum). Together they are
the exact sum of what each batch added, where its terms lie within 2⁵² of it, and off by some 2⁻¹⁰⁴ beyond: in which
order, and in which parts, batches were added does not show in a result, if all measured from the same references.
"""

from __future__ import annotations

from math import comb
from typing import NamedTuple

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

MIN_NORM = 1e-3  # CLIP-Dissect's
_ELEMENTS = 1 << 18  # of what is made of some units at once on a CPU: it stays in its cache
_ROWS = 64  # so many units, or a multiple: where a product is cut into whole blocks of rows its bits stay the same
_CROSSED, _ALONE = 3, 6  # powers of either side in a product, and of one side by itself


class CrossState(NamedTuple):
    """Sums over clips, in float64, of x = activation − its reference and y = score − its reference.

    clips            how many came
    finite           those with a finite activation; the sums are over them
    unit_reference   a unit's first finite activation; NaN before it came
    score_reference  a concept's first score; NaN before it came; 0 where every score is 0 or 1
    unit_powers      Σ x, Σ x², … Σ x⁶
    score_powers     Σ y, Σ y², … Σ y⁶
    cross            Σ xⁱ yʲ for i = 1..3 and j = 1..3; where every score is 0 or 1, j = 1 alone: its powers are equal
    …_rest           what the sum of that name lost to rounding
    """

    clips: Int64[Tensor, ""]
    finite: Int64[Tensor, " unit"]
    unit_reference: Float64[Tensor, " unit"]
    score_reference: Float64[Tensor, " concept"]
    unit_powers: Float64[Tensor, "6 unit"]
    score_powers: Float64[Tensor, "6 concept"]
    cross: Float64[Tensor, "3 unit power concept"]
    unit_powers_rest: Float64[Tensor, "6 unit"]
    score_powers_rest: Float64[Tensor, "6 concept"]
    cross_rest: Float64[Tensor, "3 unit power concept"]


def empty_cross(
    units: int, concepts: int, *, binary: bool = False, device: torch.device | str | None = None
) -> CrossState:
    """The sums over no clip. `binary` promises that every score will be 0 or 1, which takes a third of the memory."""
    zeros = {"dtype": torch.float64, "device": device}
    table = (_CROSSED, units, 1 if binary else _CROSSED, concepts)
    return CrossState(
        torch.zeros((), dtype=torch.int64, device=device),
        torch.zeros(units, dtype=torch.int64, device=device),
        torch.full((units,), torch.nan, **zeros),
        torch.full((concepts,), 0.0 if binary else torch.nan, **zeros),
        torch.zeros(_ALONE, units, **zeros),
        torch.zeros(_ALONE, concepts, **zeros),
        torch.zeros(table, **zeros),
        torch.zeros(_ALONE, units, **zeros),
        torch.zeros(_ALONE, concepts, **zeros),
        torch.zeros(table, **zeros),
    )


def cross_update(
    state: CrossState, values: Float[Tensor, "clip unit"], scores: Float[Tensor, "clip concept"]
) -> CrossState:
    """The sums after a batch. What is large is added to in place: use the old state no more."""
    if not len(values):
        return state
    finite = values.isfinite()
    wanted = scores.double()
    score_reference = torch.where(state.score_reference.isnan(), wanted[0], state.score_reference)
    unit_reference = _first_finite(state.unit_reference, values, finite)
    y = _powers(wanted - score_reference, _CROSSED)
    used = rearrange(y[:, : state.cross.shape[2]], "clip power concept -> clip (power concept)")
    shape = (_CROSSED, len(unit_reference), used.shape[1])
    table, rest = state.cross.view(shape), state.cross_rest.view(shape)
    step = len(unit_reference) or 1
    if values.device.type == "cpu":
        step = max(1, _ELEMENTS // (used.shape[1] + (1 + _CROSSED) * len(values)) // _ROWS) * _ROWS
    for units in torch.arange(len(unit_reference)).split(step):
        part = slice(int(units[0]), int(units[-1]) + 1)
        x = (values[:, part] - unit_reference[part]).masked_fill_(~finite[:, part], 0.0)
        powers = _powers(x, _CROSSED)
        for power in range(_CROSSED):
            more = rearrange(powers[:, power], "clip unit -> unit clip") @ used
            add_exactly(table[power, part], rest[power, part], more)
        add_exactly(state.unit_powers[:, part], state.unit_powers_rest[:, part], _power_sums(powers))
    add_exactly(state.score_powers, state.score_powers_rest, _power_sums(y))
    return state._replace(
        clips=state.clips + len(values),
        finite=state.finite + finite.sum(0),
        unit_reference=unit_reference,
        score_reference=score_reference,
    )


def add_exactly(total: Tensor, rest: Tensor, more: Tensor) -> None:
    """Add to a sum, in place; what rounding takes off it is added to the rest."""
    before = total.clone()
    total += more
    added = total - before
    rest += (before - (total - added)) + (more - added)


def _summed(state: CrossState) -> CrossState:
    """The state with each sum in one number."""
    return state._replace(
        unit_powers=state.unit_powers + state.unit_powers_rest,
        score_powers=state.score_powers + state.score_powers_rest,
        cross=state.cross + state.cross_rest,
    )


def cross_of(state: CrossState, units: slice) -> CrossState:
    """The sums of some units."""
    parts = {
        name: getattr(state, name)[:, units] for name in ("unit_powers", "unit_powers_rest", "cross", "cross_rest")
    }
    return state._replace(finite=state.finite[units], unit_reference=state.unit_reference[units], **parts)


def cross_merge(state: CrossState, other: CrossState) -> CrossState:
    """The sums over two disjoint sets of clips, measured from the references of the first.

    Where those of the second are the same, the sums are those of one stream to the bit; use the first state no more.
    """
    unit_reference = torch.where(state.unit_reference.isnan(), other.unit_reference, state.unit_reference)
    score_reference = torch.where(state.score_reference.isnan(), other.score_reference, state.score_reference)
    by_unit = (other.unit_reference - unit_reference).nan_to_num(0.0)
    by_score = (other.score_reference - score_reference).nan_to_num(0.0)
    powers = range(1, state.cross.shape[2] + 1)
    moved = [[_crossed(other, i, j, by_unit, by_score) for j in powers] for i in range(1, _CROSSED + 1)]
    sums = {
        "unit_powers": _moved_powers(other.unit_powers, other.finite, by_unit),
        "score_powers": _moved_powers(other.score_powers, other.clips, by_score),
        "cross": torch.stack([torch.stack(row, 1) for row in moved]),
    }
    for name, more in sums.items():
        total, rest = getattr(state, name), getattr(state, f"{name}_rest")
        add_exactly(total, rest, more)
        rest += getattr(other, f"{name}_rest")
    return state._replace(
        clips=state.clips + other.clips,
        finite=state.finite + other.finite,
        unit_reference=unit_reference,
        score_reference=score_reference,
    )


def pearson(state: CrossState) -> Float64[Tensor, "unit concept"]:
    """Correlation; 0 where the activation or the score is constant, NaN for units that were not finite on some clip."""
    state = _summed(state)
    by_unit, by_score = _to_means(state)
    norms = _norms(state, 1, by_unit, by_score)
    return _complete(state, _ratio(_crossed(state, 1, 1, by_unit, by_score), norms))


def cosine(state: CrossState) -> Float64[Tensor, "unit concept"]:
    """Cosine, not centred; 0 where either side is zero throughout, NaN for units that were not finite on some clip."""
    state = _summed(state)
    by_unit, by_score = state.unit_reference.nan_to_num(0.0), state.score_reference.nan_to_num(0.0)
    norms = _norms(state, 1, by_unit, by_score)
    return _complete(state, _ratio(_crossed(state, 1, 1, by_unit, by_score), norms))


def cosine_cubed(state: CrossState, min_norm: float = MIN_NORM) -> Float64[Tensor, "unit concept"]:
    """CLIP-Dissect's similarity: centre both over clips, cube, take the cosine, with norms of at least `min_norm`.

    NaN for units that were not finite on some clip.
    """
    state = _summed(state)
    by_unit, by_score = _to_means(state)
    of_units, of_scores = (norm.clamp(min=min_norm) for norm in _norms(state, 3, by_unit, by_score))
    return _complete(state, _ratio(_crossed(state, 3, 3, by_unit, by_score), (of_units, of_scores)))


def _first_finite(
    reference: Float64[Tensor, " unit"], values: Float[Tensor, "clip unit"], finite: Bool[Tensor, "clip unit"]
) -> Float64[Tensor, " unit"]:
    """Where there is no reference yet, the first finite value."""
    unknown = reference.isnan()
    if unknown.device.type == "cpu" and not bool(unknown.any()):  # elsewhere to ask is to wait
        return reference
    first = values.gather(0, finite.int().argmax(0, keepdim=True))[0].double()
    return torch.where(unknown & finite.any(0), first, reference)


def _powers(values: Float64[Tensor, "clip column"], most: int) -> Float64[Tensor, "clip power column"]:
    powers = [values]
    while len(powers) < most:
        powers.append(powers[-1] * values)
    return torch.stack(powers, 1)


def _power_sums(powers: Float64[Tensor, "clip 3 column"]) -> Float64[Tensor, "6 column"]:
    """Of the first six powers, given three."""
    return torch.cat([powers.sum(0), (powers * powers[:, 2:]).sum(0)])


def _power_sum(powers: Tensor, count: Tensor, degree: int, by: Tensor) -> Float64[Tensor, " column"]:
    """Σ (x + by)ᵈ out of Σ xᵏ; k = 0 is the count."""
    total = count * by**degree
    for k in range(1, degree + 1):
        total = total + comb(degree, k) * by ** (degree - k) * powers[k - 1]
    return total


def _moved_powers(powers: Tensor, count: Tensor, by: Tensor) -> Float64[Tensor, "6 column"]:
    return torch.stack([_power_sum(powers, count, degree, by) for degree in range(1, _ALONE + 1)])


def _crossed(state: CrossState, i: int, j: int, by_unit: Tensor, by_score: Tensor) -> Float64[Tensor, "unit concept"]:
    """Σ (x + by_unit)ⁱ (y + by_score)ʲ."""
    total = _power_sum(state.score_powers, state.clips, j, by_score) * rearrange(by_unit**i, "unit -> unit 1")
    for k in range(1, i + 1):
        inner = rearrange(state.unit_powers[k - 1], "unit -> unit 1") * by_score**j
        for degree in range(1, j + 1):
            crossed = state.cross[k - 1, :, min(degree, state.cross.shape[2]) - 1]
            inner = inner + comb(j, degree) * by_score ** (j - degree) * crossed
        total = total + comb(i, k) * rearrange(by_unit ** (i - k), "unit -> unit 1") * inner
    return total


def _to_means(state: CrossState) -> tuple[Float64[Tensor, " unit"], Float64[Tensor, " concept"]]:
    """How far x and y lie from being centred."""
    return -state.unit_powers[0] / state.finite.clamp(min=1), -state.score_powers[0] / state.clips.clamp(min=1)


def _norms(state: CrossState, power: int, by_unit: Tensor, by_score: Tensor) -> tuple[Tensor, Tensor]:
    """Norms over clips of the shifted x and y, raised to a power."""
    of_units = _power_sum(state.unit_powers, state.finite, 2 * power, by_unit)
    of_scores = _power_sum(state.score_powers, state.clips, 2 * power, by_score)
    return of_units.clamp(min=0).sqrt(), of_scores.clamp(min=0).sqrt()


def _ratio(product: Float64[Tensor, "unit concept"], norms: tuple[Tensor, Tensor]) -> Float64[Tensor, "unit concept"]:
    of_units, of_scores = rearrange(norms[0], "unit -> unit 1"), norms[1]
    return (product / of_units / of_scores).masked_fill((of_units == 0) | (of_scores == 0), 0.0)


def _complete(state: CrossState, values: Float64[Tensor, "unit concept"]) -> Float64[Tensor, "unit concept"]:
    lacking = (state.finite != state.clips) | (state.clips == 0)
    return values.masked_fill(rearrange(lacking, "unit -> unit 1"), torch.nan)
