"""The search for a mask: by gradient, under which a unit keeps its activation, and that keeps little else.

After the perturbation masks of Fong and Vedaldi (2017), and the listenable maps of Paissan et al. (2024), without a
trained decoder: a mask a clip.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from .errors import MapError
from .response import Response
from .spectrum import Spectrum

_RATE, _MOMENTUM = 0.3, (0.8, 0.99)
_PATIENCE, _PROGRESS = 6, 0.005
_START = 1.0  # most of the sound is kept at first: what a unit says of silence has no gradient
_LEAST_ANSWER = 1e-4


@dataclass(frozen=True, eq=False)
class Moment:
    """When a unit fires on a clip, and how much that is.

    weights   of the frames, adding up to 1: those on which the unit is above what it gives in silence count, by the
              square of how far
    original  its weighted activation on the clip; silence: on digital silence
    """

    weights: Float[Tensor, " frame"]
    original: float
    silence: float

    @classmethod
    def of(cls, response: Response, waveform: Float[Tensor, " time"], frame: int) -> Moment:
        """Of a clip. Raises MapError if the unit is no more active at the frame than in silence."""
        with torch.no_grad():
            clip, silence = response(torch.stack([waveform, torch.zeros_like(waveform)]))
        answer = clip[frame] - silence[frame]
        if not answer > _LEAST_ANSWER * (1 + silence[frame].abs()):
            raise MapError(
                f"the unit's activation is {float(clip[frame]):.3g} at this moment and {float(silence[frame]):.3g} in "
                "silence: there is no part of the sound that it needs"
            )
        seconds = len(waveform) / response.front_end.sampling_rate
        heard = torch.from_numpy(response.site.geometry.valid(_one(seconds), len(clip))[0]).to(clip.device)
        weights = ((clip - silence).clamp(min=0) * heard).square()
        weights = weights / weights.sum()
        return cls(weights, float(clip @ weights), float(silence @ weights))

    def share(self, activations: Float[Tensor, "clip frame"]) -> Float[Tensor, " clip"]:
        """Weighted activations on the scale where silence is 0 and the clip is 1."""
        return (activations @ self.weights - self.silence) / (self.original - self.silence)


@dataclass(frozen=True)
class MaskSearch:
    """What is looked for.

    area      how much a mask counts by what it keeps
    roughness how much it counts that it changes in time
    rest      how much it counts that the unit answers to what is removed
    excess    up to how often the clip's own activation that of the kept part is worth raising
    steps     steps at most; the search ends where they bring no more
    """

    area: float = 0.1
    roughness: float = 0.1
    rest: float = 3.0
    excess: float = 3.0
    steps: int = 60

    def find(self, spectrum: Spectrum, response: Response, moment: Moment) -> tuple[Float[Tensor, "row column"], int]:
        """Cells of the best mask that was come by, and the steps taken. The same call gives the same."""
        logits = torch.full(spectrum.cells, _START, device=spectrum.waveform.device, requires_grad=True)
        optimiser = torch.optim.Adam([logits], _RATE, _MOMENTUM)
        best, cells, stale = torch.inf, logits.detach().sigmoid(), 0
        for step in range(1, self.steps + 1):
            tried = logits.sigmoid()
            loss = self.loss(tried, spectrum, response, moment)
            # Of the mask alone: the model's weights neither need nor get gradients.
            (logits.grad,) = torch.autograd.grad(loss, logits)
            value = float(loss.detach())
            stale = 0 if value < best * (1 - _PROGRESS) else stale + 1
            if value < best:
                best, cells = value, tried.detach()
            if stale == _PATIENCE:
                return cells, step
            optimiser.step()
        return cells, self.steps

    def loss(
        self, cells: Float[Tensor, "row column"], spectrum: Spectrum, response: Response, moment: Moment
    ) -> Float[Tensor, ""]:
        """How bad a mask is: the unit lacks on what is kept, or answers to the rest; much is kept; it is rough."""
        kept = spectrum.sound(cells)
        with_kept, with_rest = moment.share(response(torch.stack([kept, spectrum.waveform - kept])))
        faults = (self.excess - with_kept).relu() + self.rest * with_rest.relu()
        return faults + self.area * cells.mean() + self.roughness * _roughness(cells)


def _roughness(cells: Float[Tensor, "row column"]) -> Float[Tensor, ""]:
    """How far cells lie from the next in time, on average."""
    return cells.diff(dim=1).abs().mean()


def _one(value: float) -> np.ndarray:
    return np.array([value])
