"""What a trace is given, as a model's inputs: audio of any kind, or ready features."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..audio import loading
from ..data.values import split_rate, waveform_and_rate
from ..sites.audio_spec import inputs_of
from ..sites.frame_geometry import audio_config, inner_model
from .checkpoint import ModelError
from .features import Features, check_fit

ARRAYS = (np.ndarray, Tensor)
_EXTRACTED = ("input_features", "input_values")
_CLAP = "ClapModel"  # the two towers: its forward also wants text, and only its audio tower runs


def main_input(module: nn.Module) -> str:
    """Name of the module's input that holds the sound, for example `input_values`. Raises ModelError if it has none."""
    if hasattr(audio_config(module), "spec_size"):
        return "input_features"  # CLAP names its text input
    names = inputs_of(type(module))
    named = getattr(module, "main_input_name", None) or _inner_input(module)
    if named and (named in names or not names):  # a forward of **kwargs passes on what the model inside takes
        return named
    if not names:
        raise ModelError(
            f"the forward of {type(module).__name__} does not name what it takes: give it a main_input_name"
        )
    return names[0]


def _inner_input(module: nn.Module) -> str | None:
    """What the transformers model calls the sound that this module is, or is around."""
    return getattr(inner_model(module), "main_input_name", None)


def audio_forward(module: Any) -> Callable[..., Any]:
    """What of a module runs on sound alone: the audio tower of CLAP, any other module itself."""
    return module.get_audio_features if type(module).__name__ == _CLAP else module


def further_inputs(module: Any, remote: bool = False) -> dict[str, int]:
    """Inputs that the module's forward wants beside the sound, and the token that stands for each.

    `remote`: on a server, where the whole forward runs.
    """
    name = type(module).__name__
    if "decoder_input_ids" in inputs_of(type(module)):
        return {"decoder_input_ids": _first_token(module.config)}
    return {"input_ids": 0} if remote and name == _CLAP else {}


def _first_token(config: Any) -> int:
    """The token that a decoder begins with; where the config names none, the first of all."""
    names = ("decoder_start_token_id", "bos_token_id")
    tokens = (getattr(each, name, None) for each in (config, getattr(config, "decoder", None)) for name in names)
    return int(next((token for token in tokens if isinstance(token, int)), 0))


def ready_features(module: nn.Module, data: Any, main: str) -> Features | None:
    """Features by their names, or the feature array alone, the `main` input; None for what is no features but audio."""
    if isinstance(data, ARRAYS) and data.ndim >= (3 if hasattr(inner_model(module), "config") else 2):
        return {main: torch.as_tensor(data)}
    if isinstance(data, Mapping) and (main in data or _inner_input(module) in data or names_features(data)):
        return {str(name): torch.as_tensor(value) for name, value in data.items()}
    return None


def names_features(data: Mapping[Any, Any]) -> bool:
    """Whether a mapping is what a feature extractor makes: arrays under the names that extractors use."""
    return any(str(name).endswith(_EXTRACTED) and isinstance(value, ARRAYS) for name, value in data.items())


def fitting(module: nn.Module, features: Features, main: str) -> Features:
    """Features by the names that are taken, the sound by that of the `main` input.

    Raises ValueError for those of a size that the module does not hear.
    """
    inner = _inner_input(module)
    if inner in features and main not in features:
        # A plain module around the model (`nn.Sequential`) takes the sound alone, by a name of its own.
        features = {main: features[str(inner)]}
    check_fit(module, features.get(main))
    return features


def waveforms(data: Any, wanted: int, rate: int | None, window: int | None = None) -> list[np.ndarray]:
    """Any audio value, or a list of them, as waveforms at the wanted rate; `rate` is that of bare arrays.

    window  samples at the wanted rate that are heard of each; None: all

    Raises AudioError, naming the clip, for what is no audio.
    """
    clips = list(data) if is_batch(data) else [data]
    if not clips:
        raise loading.AudioError("an empty list holds no audio")
    waveforms = []
    for index, clip in enumerate(clips):
        audio, own = split_rate(clip)  # of (waveform, rate)
        name = _clip_name(index, clip, len(clips))
        waveforms.append(
            loading.to_waveform(audio, wanted, source_rate=rate if own is None else own, name=name, window=window)
        )
    return waveforms


def is_batch(data: Any) -> bool:
    """Whether a value is several clips: a [clip, time] tensor, or a list of other things than numbers.

    A waveform and its rate are one clip.
    """
    if isinstance(data, Tensor):
        return data.ndim == 2
    if not isinstance(data, (list, tuple)) or (data and isinstance(data[0], (int, float))):
        return False
    return len(data) != 2 or waveform_and_rate(*data) is None


def _clip_name(index: int, clip: Any, count: int) -> str | None:
    """What an error calls a clip; None where its own kind or path says enough."""
    if count == 1:
        return None
    return f"clip {index} ({clip})" if isinstance(clip, (str, Path)) else f"clip {index}"


def one_batch(
    parts: Sequence[Features | list[np.ndarray]], featurise: Callable[[list[np.ndarray]], Features]
) -> Features:
    """One batch of model inputs out of what the invokes of a trace gave: waveforms, or ready features.

    Ready features want no feature extractor: `featurise` is only called for waveforms.
    """
    clips = [part for part in parts if isinstance(part, list)]
    if len(clips) == len(parts):
        return featurise([clip for part in clips for clip in part])
    return _joined([part if isinstance(part, dict) else featurise(part) for part in parts])


def _joined(features: Sequence[Features]) -> Features:
    """Features of several invokes, clip after clip. Raises ValueError where they do not fit together."""
    shapes = [{name: value.shape[1:] for name, value in part.items()} for part in features]
    if any(shape != shapes[0] for shape in shapes):
        raise ValueError(
            "the invokes' features differ in their names or shapes: give waveforms, which are padded together"
        )
    return {name: torch.cat([part[name] for part in features]) for name in features[0]}
