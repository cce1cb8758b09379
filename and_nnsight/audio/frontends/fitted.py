"""A front end together with the extractor's settings that it was tried under: those may change afterwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from .families import front_end, pays_on_cpu, settings_of
from .interface import Features, FrontEnd, FrontEndError


@dataclass(frozen=True, eq=False)
class FittedFrontEnd:
    """A front end that was tried against an extractor, good for as long as that one is set up as it was.

    device  where it was tried and is to run
    """

    front: FrontEnd
    settings: Mapping[str, Any]
    device: torch.device

    @classmethod
    def where_it_pays(cls, extractor: Any, options: Mapping[str, Any]) -> FittedFrontEnd | None:
        """One for the CPU: None where it would differ in a bit, or save nothing."""
        if not pays_on_cpu(extractor):
            return None
        return cls.tried(extractor, options, torch.device("cpu"), 0.0)

    @classmethod
    def tried(
        cls, extractor: Any, options: Mapping[str, Any], device: torch.device, tolerance: float | None = None
    ) -> FittedFrontEnd | None:
        """One whose features differ by no more than that, as `front_end` has it; None where there is none."""
        try:
            front = front_end(extractor, options, device=device, tolerance=tolerance)
        except FrontEndError:
            return None
        return cls(front, settings_of(extractor), device)

    def fits(self, extractor: Any) -> bool:
        """Whether the extractor is still set up as the one that was tried."""
        return settings_of(extractor) == self.settings

    def shortened(self, extractor: Any, samples: int) -> FittedFrontEnd | None:
        """The same with a window of so many samples, as this extractor has; None where that is not possible."""
        front = self.front.shortened(samples)
        return None if front is None else replace(self, front=front, settings=settings_of(extractor))

    def takes(self, extractor: Any, clips: Sequence[np.ndarray]) -> bool:
        """Whether it makes the same of these clips as the extractor does."""
        shortest = min(map(len, clips))
        plain = all(clip.dtype == np.float32 for clip in clips)
        return plain and shortest >= self.front.minimum_samples and self.fits(extractor)

    def __call__(self, clips: Sequence[np.ndarray]) -> Features:
        """Model inputs of a batch of clips on the CPU."""
        tensors = [torch.from_numpy(np.require(clip, None, ["C", "W"])) for clip in clips]
        return self.front(tensors, self.front.sampling_rate)
