"""Which front end equals a checkpoint's feature extractor: a family for each class, its settings, and a trial.

A family is a class derived from `FrontEnd`, listed in `FAMILIES`. Names and settings of the extractor decide whether
it may be equal; that it is shows on sounds, whatever version of transformers made the extractor.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from ...portable import featurise
from .clap import ClapFrontEnd
from .interface import ANY, Features, FrontEnd, FrontEndError
from .kaldi import KaldiFrontEnd
from .parakeet import ParakeetFrontEnd
from .seamless import SeamlessFrontEnd
from .wav2vec2 import Wav2Vec2FrontEnd
from .whisper import WhisperFrontEnd

FAMILIES: Mapping[str, type[FrontEnd]] = {
    family.kind: family
    for family in (
        KaldiFrontEnd, WhisperFrontEnd, ClapFrontEnd, SeamlessFrontEnd, Wav2Vec2FrontEnd, ParakeetFrontEnd,
    )
}  # fmt: skip
"""Front ends by the name of the transformers class that they equal."""
_LABELS = ("feature_extractor_type", "processor_class", "_processor_class", "auto_map", "image_processor_type")
DEVICE_TOLERANCE = 1e-5
"""Between float64 on a device and float64 on the CPU."""
_SECONDS = 0.5  # of a trial's sounds, where there is no window


def front_end(
    extractor: Any,
    options: Mapping[str, Any] | None = None,
    *,
    device: torch.device | str = "cpu",
    tolerance: float | None = None,
) -> FrontEnd:
    """The front end that equals a transformers feature extractor.

    options    what the extractor is called with beside waveforms and their rate
    device     where it is tried, too: what it computes there in float64 is held against float64 on the CPU, and not
               against the extractor, whose own rounding to float32 is another on every processor
    tolerance  how far a feature on the CPU may lie from the extractor's; 0: it is the same in every bit. None: the
               family's, 1e-5 of most

    Raises FrontEndError, saying in what it differs, where none does: then the extractor itself is to be used.
    """
    family = _family(extractor)
    wanted, given = dict(family.options), dict(options or {})
    if given not in (wanted, {}):
        raise FrontEndError(f"{family.kind} is called with options that its front end has not: {', '.join(given)}")
    _check_settings(extractor, family)
    front = family.of(extractor)
    sounds = _trial_sounds(front)
    _check_equal(extractor, front, sounds, family.tolerance if tolerance is None else tolerance)
    if torch.device(device).type != "cpu":
        _check_device(front, sounds, torch.device(device))
    return front


def pays_on_cpu(extractor: Any) -> bool:
    """Whether an extractor's front end, if there is one, takes less of the CPU."""
    family = FAMILIES.get(type(extractor).__name__)
    return family is not None and family.pays_on_cpu


def settings_of(extractor: Any) -> dict[str, Any]:
    """What an extractor is set up with, to tell later whether it still is: numbers, names, the bytes of arrays."""
    return {name: _plain(value) for name, value in vars(extractor).items() if name not in _LABELS}


def _plain(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        value = value.numpy()
    return (value.shape, value.tobytes()) if isinstance(value, np.ndarray) else value


def _family(extractor: Any) -> type[FrontEnd]:
    kind = type(extractor)
    family = FAMILIES.get(kind.__name__)
    if family is None or kind.__module__.partition(".")[0] != "transformers":
        raise FrontEndError(
            f"{kind.__module__}.{kind.__name__} has no differentiable front end here: there are those of "
            f"{', '.join(FAMILIES)} of transformers"
        )
    return family


def _check_settings(extractor: Any, family: type[FrontEnd]) -> None:
    for name, value in vars(extractor).items():
        if name in _LABELS:
            continue
        if name not in family.settings:
            raise FrontEndError(f"this {family.kind} has a setting that its front end does not know: {name}={value!r}")
        allowed = family.settings[name]
        if allowed is not ANY and value != allowed:
            raise FrontEndError(
                f"this {family.kind} has {name}={value!r}, and its front end is equal to {allowed!r} only"
            )


def _trial_sounds(front: FrontEnd) -> list[torch.Tensor]:
    """Noise, shorter and longer than what is heard."""
    generator = torch.Generator().manual_seed(0)
    return [0.1 * torch.randn(length, generator=generator) for length in _lengths(front)]


def _check_equal(extractor: Any, front: FrontEnd, sounds: list[torch.Tensor], tolerance: float) -> None:
    """Raise FrontEndError unless both make the same of the sounds."""
    own = featurise(extractor, [sound.numpy() for sound in sounds], front.sampling_rate, dict(front.options))
    if not _same(own, front(sounds, front.sampling_rate), tolerance):
        raise FrontEndError(
            f"this {front.kind} makes other features than its front end, though their settings are the same: its code "
            "is not what transformers 5 has, or torchaudio is missing"
        )


def _check_device(front: FrontEnd, sounds: list[torch.Tensor], device: torch.device) -> None:
    """Raise FrontEndError unless a device makes of the sounds what float64 on the CPU does."""
    exact = front([sound.double() for sound in sounds], front.sampling_rate)
    there = front([sound.double().to(device) for sound in sounds], front.sampling_rate)
    if not _same(exact, there, DEVICE_TOLERANCE):
        raise FrontEndError(f"on {device} the front end of {front.kind} makes other features than on the CPU")


def _lengths(front: FrontEnd) -> tuple[int, int]:
    """In samples, of a trial's sounds."""
    window = front.window_samples or int(_SECONDS * front.sampling_rate)
    beyond = 37 if front.cuts_like_extractor else 0
    return max(front.minimum_samples, window // 3), window + beyond


def _same(own: Features, ours: Features, tolerance: float) -> bool:
    if own.keys() != ours.keys():
        return False
    pairs = [(own[name], value.cpu()) for name, value in ours.items()]
    return all(
        one.shape == other.shape
        and one.dtype == other.dtype
        and torch.allclose(one.double(), other.double(), rtol=0, atol=tolerance)
        for one, other in pairs
    )
