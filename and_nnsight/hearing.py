"""What a model may say of itself, where neither its structure nor its config tells: models outside transformers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, cast

from torch import nn

from .geometry import Geometry

PAPER = ("*.hook_attn_out", "*.mlp.hook_pre", "*.hook_mlp_out", "unembed.hook_out")


@dataclass(frozen=True)
class Hearing:
    """How a model hears.

    frames     where the frames of its blocks lie on the time axis of a clip
    extractor  its feature extractor: called with a list of waveforms, `sampling_rate=` and `return_tensors=`, it gives
               a mapping of model inputs, clips on their first axis. It has `sampling_rate` (Hz), may have
               `minimum_samples` and `window_samples` (see `Featuriser`), and is picklable
    paper      globs of the sites of its "paper" preset: what Audio Network Dissection recorded of such a model
    """

    frames: Geometry
    extractor: Any
    paper: tuple[str, ...] = PAPER


class SaysHowItHears(Protocol):
    """A module with a method `hearing`.

    Its blocks, and its head by `config.num_labels`, are found by structure as everybody's are. Clips stand on the
    first axis of what its modules take and return. `main_input_name` names the input that holds the sound.
    """

    def hearing(self) -> Hearing:
        """How this model hears."""
        ...


def hearing_of(model: nn.Module) -> Hearing | None:
    """What the model says of itself; None if it says nothing."""
    # Asked of the class: a submodule of that name would answer for the instance.
    return cast(SaysHowItHears, model).hearing() if callable(getattr(type(model), "hearing", None)) else None
