"""What a dissection knows of a site's units over the whole dataset."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic

import numpy as np
from jaxtyping import Float32, Int64

from ..wording import Brief, counted
from .array_kind import ArrayT, as_tensor
from .evidence import Ranked

if TYPE_CHECKING:
    import torch

_OF_UNITS = ("finite", "mean", "variance", "active")


@dataclass(frozen=True, eq=False)
class SiteStatistics(Brief, Generic[ArrayT]):
    """Statistics of one site over the dataset.

    top, bottom  the K clips with the highest and the lowest pooled activation
    count        clips seen
    finite       clips with a finite pooled activation, a unit
    mean, variance  of the pooled activation (variance: population), a unit
    active       share of clips with a pooled activation above zero, a unit
    These three are NaN for a unit that was never finite.
    nonfinite    activations (frames × units) that were NaN or infinite and were left out
    """

    top: Ranked[ArrayT]
    bottom: Ranked[ArrayT]
    count: int
    finite: Int64[ArrayT, " unit"]
    mean: Float32[ArrayT, " unit"]
    variance: Float32[ArrayT, " unit"]
    active: Float32[ArrayT, " unit"]
    nonfinite: int

    @property
    def units(self) -> int:
        """How many units the site has."""
        return len(self.mean)

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, ArrayT]) -> SiteStatistics[ArrayT]:
        """Out of the tensors, or arrays, of a site's file, which are those of `UnitStatistics.site_tensors`."""
        top, bottom = (
            Ranked(*(tensors[f"{side}_{name}"] for name in Ranked.__dataclass_fields__)) for side in ("top", "bottom")
        )
        return cls(
            top=top,
            bottom=bottom,
            count=int(tensors["count"]),
            nonfinite=int(tensors["nonfinite"]),
            **{name: tensors[name] for name in _OF_UNITS},
        )

    def tensors(self: SiteStatistics[np.ndarray]) -> SiteStatistics[torch.Tensor]:
        """With torch's tensors, which share the memory of the arrays."""
        of_units = {name: as_tensor(getattr(self, name)) for name in _OF_UNITS}
        return SiteStatistics(
            top=self.top.tensors(),
            bottom=self.bottom.tensors(),
            count=self.count,
            nonfinite=self.nonfinite,
            **of_units,
        )

    def check_width(self, width: int) -> None:
        """Raise ValueError where the tensors do not fit each other or the width that the manifest names."""
        of_units = [getattr(self, name) for name in _OF_UNITS]
        ranked = [getattr(side, name) for side in (self.top, self.bottom) for name in Ranked.__dataclass_fields__]
        fits = all(tensor.shape == (width,) for tensor in of_units)
        if not fits or any(tensor.shape[-1:] != (width,) for tensor in ranked):
            raise ValueError(f"it is not of {counted(width, 'unit')}, as the manifest says")
