"""What a unit answers to sounds: its activation, differentiable from the waveform through front end and model."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ..audio.frontends import FrontEnd
from ..model.adapter import ModelAdapter
from ..sites.site import Site, clip_frame_unit
from .errors import MapError


@dataclass(frozen=True, eq=False)
class Response:
    """A unit of a model that hears through a front end."""

    model: ModelAdapter
    site: Site
    unit: int
    front_end: FrontEnd

    def __call__(self, sounds: Float[Tensor, "clip time"]) -> Float[Tensor, "clip frame"]:
        """The unit's activation on each frame, with gradients where they are enabled.

        Raises MapError if the model gives an activation without a gradient.
        """
        features = self.front_end(sounds, self.front_end.sampling_rate)
        kept: list[Tensor] = []

        def keep(site: Site, value: Tensor) -> None:
            kept.append(clip_frame_unit(value)[..., self.unit].float())

        self.model.run_with_gradient([self.site], features, keep)
        (activation,) = kept
        if sounds.requires_grad and torch.is_grad_enabled() and not activation.requires_grad:
            raise MapError(
                f"{type(self.model).__name__} runs without gradients, and a map is found by them: give the "
                "transformers module or its AudioModel"
            )
        return activation
