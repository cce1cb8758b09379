"""What a model may declare of itself, where neither its structure nor its config tells: models outside transformers."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any, Protocol, cast

from torch import nn

from .geometry import Geometry
from .names import PAPER


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
_TARGETS = ("decoder_", "labels", "spectrogram_labels")
"""How names of inputs begin that a decoder is taught with."""
_MEASURES = ("mask", "lengths", "sizes", "cutoffs", "ids", "codes", "latents", "labels", "values_cutoffs")
"""How names end that say something of the sound, or stand for it."""
_NO_SOUND = {
    "input_ids": "text",
    "token_ids": "text",
    "tokens": "text",
    "decoder_input_ids": "text",
    "inputs_embeds": "text",
    "audio_input_ids": "codes of sound",
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
    if callable(getattr(kind, "audio_spec", None)) or takes_sound(kind):
        return None
    named = getattr(kind, "main_input_name", None)
    main = named if named in inputs or not inputs else inputs[0]
    if main not in _NO_SOUND:
        return None
    others = [name for name in inputs if name != main and _NO_SOUND.get(name, _NO_SOUND[main]) != _NO_SOUND[main]]
    *first, last = (f"{_NO_SOUND[name]} ({name})" for name in (main, *others))
    return f"{', '.join(first)} and {last}" if first else last


def takes_sound(kind: type[nn.Module]) -> bool:
    """Whether sound goes into a module of this class: its forward names it, or a method of its own encodes it."""
    return callable(getattr(kind, "get_audio_features", None)) or sound_input(kind.forward) is not None


def sound_input(function: Any) -> str | None:
    """The input of a function that sound goes in by, judged by its name; None where none is named for it."""
    return next((name for name in inspect.signature(function).parameters if names_sound(name)), None)


def names_sound(name: str) -> bool:
    """Whether an input of this name is sound, or its spectrogram: not a target, a mask, or codes."""
    return any(word in name for word in _SOUNDS) and not name.startswith(_TARGETS) and not name.endswith(_MEASURES)


def sound_is_one_of_many(kind: type[nn.Module]) -> bool:
    """Whether a module of this class takes text or images first, or sees, too, or has no forward of its own."""
    inputs = inputs_of(kind)
    if not inputs:
        return kind.forward is nn.Module.forward
    return inputs[0] in _NO_SOUND or any(_NO_SOUND.get(name) in ("images", "videos") for name in inputs)


def inputs_of(kind: type[nn.Module]) -> tuple[str, ...]:
    """The names of what a module's forward takes; what it takes as `*args` or `**kwargs` has none."""
    starred = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    parameters = list(inspect.signature(kind.forward).parameters.values())[1:]
    return tuple(parameter.name for parameter in parameters if parameter.kind not in starred)
