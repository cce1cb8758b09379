"""What a dissection knows of a site's units over the whole dataset."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from jaxtyping import Float32, Int64
from torch import Tensor

from ..wording import Brief, counted
from .evidence import Ranked


@dataclass(frozen=True, eq=False)
class SiteStatistics(Brief):
    """Statistics of one site over the dataset.

    top, bottom  the K clips with the highest and the lowest pooled activation
    count        clips seen
    finite       clips with a finite pooled activation, a unit
    mean, variance  of the pooled activation (variance: population), a unit
    active       share of clips with a pooled activation above zero, a unit
    These three are NaN for a unit that was never finite.
    nonfinite    activations (frames × units) that were NaN or infinite and were left out
    """

    top: Ranked
    bottom: Ranked
    count: int
    finite: Int64[Tensor, " unit"]
    mean: Float32[Tensor, " unit"]
    variance: Float32[Tensor, " unit"]
    active: Float32[Tensor, " unit"]
    nonfinite: int

    @property
    def units(self) -> int:
        """How many units the site has."""
        return len(self.mean)

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> SiteStatistics:
        """Out of the tensors of a site's file, which are those of `UnitStatistics.site_tensors`."""
        top, bottom = (
            Ranked(*(tensors[f"{side}_{name}"] for name in Ranked.__dataclass_fields__)) for side in ("top", "bottom")
        )
        return cls(
            top=top,
            bottom=bottom,
            count=int(tensors["count"]),
            nonfinite=int(tensors["nonfinite"]),
            **{name: tensors[name] for name in ("finite", "mean", "variance", "active")},
        )

    def check_width(self, width: int) -> None:
        """Raise ValueError where the tensors do not fit each other or the width that the manifest names."""
        of_units = (self.finite, self.mean, self.variance, self.active)
        ranked = [getattr(side, name) for side in (self.top, self.bottom) for name in Ranked.__dataclass_fields__]
        fits = all(tensor.shape == (width,) for tensor in of_units)
        if not fits or any(tensor.shape[-1:] != (width,) for tensor in ranked):
            raise ValueError(f"it is not of {counted(width, 'unit')}, as the manifest says")
