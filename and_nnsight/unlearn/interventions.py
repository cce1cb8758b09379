"""What an ablation does to a site's tensor, and how the tensor gets back to where the module takes or gives it."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..sites.heads import Heads
from ..sites.site import Site, SiteError
from .unit_set import ChoiceError, UnitChoice

ABLATIONS = ("zero", "mean", "resample", "amplify")
Change = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Intervention:
    """What becomes of units: see `ablate`. Raises ValueError for an unknown way, and for a gain that does not fit it.

    gain  amplify: what activations are multiplied by; None for the others
    seed  resample: draws the other clip
    """

    how: str = "zero"
    gain: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.how not in ABLATIONS:
            raise ValueError(f"unknown way to ablate {self.how!r}: one of {', '.join(ABLATIONS)}")
        if (self.how == "amplify") != (self.gain is not None):
            raise ValueError(
                "amplify needs a gain, by which activations are multiplied: gain=2 (--gain 2)"
                if self.gain is None
                else f"gain= (--gain) is for amplify, not for {self.how}"
            )
        if self.gain is not None and not math.isfinite(self.gain):
            raise ValueError(f"gain must be a finite number, it is {self.gain}")


def replace_units(
    value: Float[Tensor, "clip *frame unit"],
    mask: Bool[Tensor, "#clip unit"],
    fill: Float[Tensor, " unit"] | Float[Tensor, "clip *frame unit"],
) -> Float[Tensor, "clip *frame unit"]:
    """A new tensor in which the masked units are those of `fill`, and all others are as they were, bit for bit."""
    spread = mask.reshape(mask.shape[0], *(1,) * (value.ndim - 2), mask.shape[1])
    return torch.where(spread, fill.to(value.dtype), value)


def other_clips(value: Float[Tensor, "clip *frame unit"], clips: int, seed: int) -> Float[Tensor, "clip *frame unit"]:
    """Every clip's activations are those of another clip; which one, the seed says, and the number of clips.

    `clips` rows in turn are the clips once; several such stretches are ablated side by side. Raises ValueError where
    there is but one clip.
    """
    if clips < 2:
        raise ValueError(
            "resampling takes a unit's activation from another clip of the batch, and here is a batch of one clip: "
            "choose a batch size that leaves none alone, and clips of one length, or another way to ablate"
        )
    shift = 1 + int(torch.randint(clips - 1, (), generator=torch.Generator().manual_seed(seed)))
    return value.unflatten(0, (-1, clips)).roll(shift, 1).flatten(0, 1)


def changed_site(site: Site) -> Site:
    """The site whose units take others' place: a head is changed as its part of the tensor, not as that one's norm."""
    return site.tensor if isinstance(site.dictionary, Heads) else site


class SiteAblation:
    """The change to one site: of every row's units those that the row's mask names.

    site   a `changed_site`
    masks  bool [variant, unit]; with several variants a batch holds all clips once a variant, one variant after another
    fill   what takes their place, float [unit]; None with resample and amplify
    """

    def __init__(
        self,
        site: Site,
        masks: Bool[Tensor, "variant unit"],
        intervention: Intervention,
        fill: Float[Tensor, " unit"] | None,
    ) -> None:
        self.site, self.masks, self.intervention, self.fill = site, masks, intervention, fill

    def to(self, device: torch.device) -> None:
        """Keep masks and fill on a device, that of the activations."""
        self.masks = self.masks.to(device)
        self.fill = None if self.fill is None else self.fill.to(device)

    def __call__(self, value: Any) -> Any:
        """What the module took or gave, with the units' activations replaced; the original is not written to."""
        return exchanged(self.site, value, self.change)

    def change(self, activation: Float[Tensor, "row *frame unit"]) -> Float[Tensor, "row *frame unit"]:
        """The site's tensor with the units replaced. Raises ChoiceError if it has another number of units.

        Latents of a dictionary are changed along their directions in the tensor; what it does not explain stays.
        """
        dictionary = self.site.dictionary
        if dictionary is None:
            return self._replaced(activation, self.masks, self.fill)
        assert not isinstance(dictionary, Heads), "heads are changed as units of their tensor"
        chosen = self.masks.any(0).nonzero()[:, 0]
        indices, fill = chosen.tolist(), None if self.fill is None else self.fill[chosen]
        latents = dictionary.encode(activation, indices)
        changed = self._replaced(latents, self.masks[:, chosen], fill)
        return dictionary.shifted(activation, changed - latents, indices)

    def _replaced(
        self,
        activation: Float[Tensor, "row *frame unit"],
        masks: Bool[Tensor, "variant unit"],
        fill: Float[Tensor, " unit"] | None,
    ) -> Float[Tensor, "row *frame unit"]:
        rows, units = activation.shape[0], activation.shape[-1]
        variants = len(masks)
        if units != masks.shape[1]:
            raise ChoiceError(f"site {self.site.name!r} has {units} units, and the choice is of {masks.shape[1]}")
        if rows % variants:
            raise ValueError(f"{rows} rows cannot be {variants} ablations of the same clips")
        masks = masks.to(activation.device)
        if variants > 1:
            masks = masks.repeat_interleave(rows // variants, 0)
        return replace_units(activation, masks, self._instead(activation, rows // variants, fill))

    def _instead(
        self, activation: Float[Tensor, "row *frame unit"], clips: int, fill: Float[Tensor, " unit"] | None
    ) -> Float[Tensor, " unit"] | Float[Tensor, "row *frame unit"]:
        if self.intervention.how == "resample":
            return other_clips(activation, clips, self.intervention.seed)
        if self.intervention.gain is not None:
            return activation * self.intervention.gain
        assert fill is not None
        return fill.to(activation.device)


def exchanged(site: Site, value: Any, change: Change) -> Any:
    """What a module took or gave with the site's tensor, which `Site.fold` finds in it, changed; the rest as it was.

    Raises SiteError if there is no such tensor in it.
    """
    if isinstance(value, Mapping) and value:
        changed: Any = copy.copy(value)
        name = next(iter(value))
        changed[name] = exchanged(site, value[name], change)
        return changed
    if isinstance(value, tuple | list) and len(value):
        parts = [exchanged(site, value[0], change), *value[1:]]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    folded = site.fold(value)
    new = change(folded)
    if new.shape != folded.shape:
        raise SiteError(f"site {site.name!r}: its tensor cannot change from {folded.shape} to {new.shape}")
    if site.channels_first:
        return new.movedim(-1, 1)
    if isinstance(value, Tensor) and value.ndim < new.ndim:  # the frames of one clip, without an axis of clips
        return new[0]
    return new.unflatten(1, (site.windows, -1)).flatten(0, 1) if site.windows > 1 else new


def site_ablations(
    sites: Mapping[str, Site],
    choices: Sequence[UnitChoice],
    intervention: Intervention,
    fills: Mapping[str, Float[Tensor, " unit"]],
) -> list[SiteAblation]:
    """The changes that make all the choices' ablations side by side, in forward order: those of `sites`."""
    masks = [choice.masks({name: site.width for name, site in sites.items()}) for choice in choices]
    ablations = []
    for name, site in sites.items():
        if not any(name in mask for mask in masks):
            continue
        none = torch.zeros(site.width, dtype=torch.bool)
        rows = torch.stack([mask.get(name, none) for mask in masks])
        if isinstance(site.dictionary, Heads):
            rows = site.dictionary.spread(rows)
        changed = changed_site(site)
        fill = torch.zeros(changed.width) if intervention.how == "zero" else fills.get(name)
        ablations.append(SiteAblation(changed, rows, intervention, fill))
    return ablations
