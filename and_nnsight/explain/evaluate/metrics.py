"""How well predictions of clips agree with what units do: Pearson and average precision, for many pairs at once."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int64, Integer
from torch import Tensor

from ...kernels import average_precision_at

_DECIMALS = 6  # products of the same vectors differ in the last bits with the shape of a batch


def standardised(rows: Float[Tensor, "row clip"]) -> Float[Tensor, "row clip"]:
    """Each row centred, at length 1; zeros for a row that is the same everywhere."""
    values = rows.double()
    values = values - values.mean(1, keepdim=True)
    lengths = values.norm(dim=1, keepdim=True)
    size = rows.double().abs().amax(1, keepdim=True)
    varies = lengths > 1e-9 * size * rows.shape[1] ** 0.5  # what is left of a constant by rounding is no variation
    return torch.where(varies, values / torch.where(varies, lengths, 1.0), 0.0).float()


def correlations(
    predictions: Float[Tensor, "prediction clip"], activations: Float[Tensor, "unit clip"]
) -> Float[Tensor, "unit prediction"]:
    """Pearson of every unit with every prediction; both must be `standardised`. 0 where either is constant."""
    return (activations @ predictions.T).round(decimals=_DECIMALS)


def places(predictions: Float[Tensor, "prediction clip"]) -> Integer[Tensor, "prediction clip"]:
    """The place of each clip in each prediction, from 1: how many clips are predicted as high or higher."""
    rounded = predictions.double().round(decimals=_DECIMALS).neg().contiguous()
    ordered = rounded.sort(1).values
    return torch.searchsorted(ordered, rounded, right=True, out_int32=True)


def positives(activations: Float[Tensor, "unit clip"], share: float) -> Bool[Tensor, "unit clip"]:
    """The clips in each unit's top share: those above the highest clip that is not among the first share × clips.

    Clips that are tied across that border are left out together; where nothing lies above them (a unit that is one of
    two values) they count. None for a unit that is the same on all clips.
    """
    clips = activations.shape[1]
    border = min(clips - 1, max(1, round(share * clips)))
    value = activations.sort(1, descending=True).values[:, border, None]
    above, reached = activations > value, activations >= value
    chosen = torch.where(above.any(1, keepdim=True), above, reached)
    return chosen & ~chosen.all(1, keepdim=True)


def clips_of(chosen: Bool[Tensor, "unit clip"]) -> Int64[Tensor, "unit most"]:
    """The places of the chosen clips of each unit, filled up with -1."""
    counts = chosen.sum(1)
    unit, clip = chosen.nonzero(as_tuple=True)
    nth = torch.arange(len(unit), device=unit.device) - (counts.cumsum(0) - counts).repeat_interleave(counts)
    most = max(1, int(counts.max()) if len(counts) else 1)
    clips = torch.full((len(chosen), most), -1, device=chosen.device)
    clips[unit, nth] = clip
    return clips


def average_precisions(
    ranked: Integer[Tensor, "prediction clip"], which: Int64[Tensor, " unit"], clips: Int64[Tensor, "unit most"]
) -> Float[Tensor, " unit"]:
    """Average precision of one prediction for each unit: `which` prediction, as the detector of which `clips`.

    `ranked` are the predictions' `places`, `clips` as `clips_of` gives them. NaN for a unit without any.
    """
    return average_precision_at(ranked, which, clips).round(decimals=_DECIMALS)
