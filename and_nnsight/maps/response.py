"""What a unit answers to sounds: its activation, differentiable from the waveform through front end and model."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from ..audio.frontends import FrontEnd
from ..model.adapter import ModelAdapter
from ..model.short_window import positions_of, short_window
from ..sites.site import Site, clip_frame_unit
from .errors import MapError

_MARGIN_SECONDS = 0.5  # of a window that is cut short, behind the clip


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
            kept.append(site.chosen(clip_frame_unit(value), [self.unit])[..., 0].float())

        self.model.run_with_gradient([self.site], features, keep)
        (activation,) = kept
        if sounds.requires_grad and torch.is_grad_enabled() and not activation.requires_grad:
            raise MapError(
                f"{type(self.model).__name__} runs without gradients, and a map is found by them: give the "
                "transformers module or its AudioModel"
            )
        return activation


@contextmanager
def cut_short(response: Response, samples: int) -> Iterator[Response]:
    """While open, the unit as it may be asked often of a clip of so many samples.

    Where the model hears a long window whatever the clip lasts, and can hear less, it ends soon behind the clip.
    """
    module, front = response.model.wrapped, response.front_end
    positions, window = positions_of(module), front.window_samples
    heard = samples + _MARGIN_SECONDS * front.sampling_rate
    if positions is None or window is None or heard >= window:
        yield response
        return
    short = math.ceil(heard / window * positions)
    shortened = front.shortened(window * short // positions)
    if shortened is None:
        yield response
        return
    with short_window(module, short):
        yield replace(response, front_end=shortened)
