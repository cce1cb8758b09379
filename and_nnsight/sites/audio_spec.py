"""What a model may declare of itself, where neither its structure nor its config tells: models outside transformers."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any, Protocol, cast

from torch import nn

from .geometry import Geometry

HEAD = "unembed.hook_out"
"""The site of a classifier's logits."""
PAPER = ("*.hook_attn_out", "*.mlp.hook_pre", "*.hook_mlp_out", HEAD)


@dataclass(frozen=True)
class AudioSpec:
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


class DeclaresAudio(Protocol):
    """A module with a method `audio_spec`.

    Its blocks, and its head by `config.num_labels`, are found by structure as everybody's are. Clips stand on the
    first axis of what its modules take and return. `main_input_name` names the input that holds the sound.
    """

    def audio_spec(self) -> AudioSpec:
        """How this model hears."""
        ...


def declared_spec(model: nn.Module) -> AudioSpec | None:
    """What the model says of itself; None if it says nothing."""
    # Asked of the class: a submodule of that name would answer for the instance.
    return cast(DeclaresAudio, model).audio_spec() if callable(getattr(type(model), "audio_spec", None)) else None


_SOUNDS = ("input_values", "input_features", "audio", "wave", "speech", "spectrogram")
_NO_SOUND = {
    "input_ids": "text",
    "token_ids": "text",
    "tokens": "text",
    "decoder_input_ids": "text",
    "inputs_embeds": "text",
    "pixel_values": "images",
    "images": "images",
    "pixel_values_videos": "videos",
    "past_values": "time series",
}


def reads_instead(kind: type[nn.Module]) -> str | None:
    """What a model of this class reads that is no sound, by what its forward takes: "text (input_ids)", for example.

    None where it takes sound, or where its arguments do not tell.
    """
    inputs = inputs_of(kind)
    if callable(getattr(kind, "audio_spec", None)) or any(word in name for name in inputs for word in _SOUNDS):
        return None
    named = getattr(kind, "main_input_name", None)
    main = named if named in inputs else next(iter(inputs), None)
    if main not in _NO_SOUND:
        return None
    others = [name for name in inputs if name != main and _NO_SOUND.get(name, _NO_SOUND[main]) != _NO_SOUND[main]]
    return " and ".join(f"{_NO_SOUND[name]} ({name})" for name in (main, *others))


def inputs_of(kind: type[nn.Module]) -> tuple[str, ...]:
    """The names of what a module's forward takes; what it takes as `*args` or `**kwargs` has none."""
    starred = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    parameters = list(inspect.signature(kind.forward).parameters.values())[1:]
    return tuple(parameter.name for parameter in parameters if parameter.kind not in starred)
