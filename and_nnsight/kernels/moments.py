"""Count, mean, variance and activity of each unit, in float64, mergeable (Chan, Golub and LeVeque 1979, eq. 2.1).

`batch_moments` is sent to servers as source text: a plain function of torch that gives a plain tuple.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor


class MomentsState(NamedTuple):
    """Running moments of pooled values.

    count    clips with a finite value, a unit
    mean     their mean
    squares  sum of squared deviations from the mean
    active   how many values were above zero
    """

    count: Int64[Tensor, " unit"]  # pyright: ignore[reportIncompatibleMethodOverride]  # tuple.count is not wanted
    mean: Float64[Tensor, " unit"]
    squares: Float64[Tensor, " unit"]
    active: Int64[Tensor, " unit"]


def empty_moments(units: int, *, device: torch.device | str | None = None) -> MomentsState:
    """The moments of no clip."""
    whole = torch.zeros(units, dtype=torch.int64, device=device)
    real = torch.zeros(units, dtype=torch.float64, device=device)
    return MomentsState(whole, real, real.clone(), whole.clone())


def moments_update(state: MomentsState, values: Float[Tensor, "clip unit"]) -> MomentsState:
    """The moments after a batch of pooled values; non-finite ones are left out."""
    return moments_merge(state, MomentsState(*batch_moments(values)))


def batch_moments(
    values: Float[Tensor, "clip unit"],
) -> tuple[Int64[Tensor, " unit"], Float64[Tensor, " unit"], Float64[Tensor, " unit"], Int64[Tensor, " unit"]]:
    """Count, mean, squares and active, as `MomentsState` has them, of a batch; non-finite values are left out."""
    finite = values.isfinite()
    usable = values.double().masked_fill(~finite, 0.0)
    count = finite.sum(0)
    mean = usable.sum(0) / count.clamp(min=1)
    squares = (usable - mean).masked_fill(~finite, 0.0).square().sum(0)
    return count, mean, squares, (usable > 0).sum(0)


def moments_merge(state: MomentsState, other: MomentsState) -> MomentsState:
    """The moments of two disjoint sets of clips."""
    count = state.count + other.count
    share = other.count.double() / count.clamp(min=1)
    apart = other.mean - state.mean
    return MomentsState(
        count,
        state.mean + apart * share,
        state.squares + other.squares + apart.square() * state.count * share,
        state.active + other.active,
    )


def variance(state: MomentsState) -> Float64[Tensor, " unit"]:
    """The population variance (divided by the count); 0 where no clip came."""
    return state.squares / state.count.clamp(min=1)
