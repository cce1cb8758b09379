"""Which front end equals a checkpoint's feature extractor: a family for each class, its settings, and a trial.

A family is a class derived from `FrontEnd`, listed in `FAMILIES`. Names and settings of the extractor decide whether
it may be equal; that it is shows on sounds, whatever version of transformers made the extractor.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from .interface import ANY, FrontEnd, FrontEndError
from .kaldi import KaldiFrontEnd
from .whisper import WhisperFrontEnd

FAMILIES: Mapping[str, type[FrontEnd]] = {family.kind: family for family in (KaldiFrontEnd, WhisperFrontEnd)}
"""Front ends by the name of the transformers class that they equal."""
TOLERANCE = 1e-5
"""How far a feature may lie from the extractor's own; on the CPU it is the same in every bit wherever that was seen."""
_LABELS = ("feature_extractor_type", "processor_class", "_processor_class", "auto_map", "image_processor_type")


def front_end(extractor: Any, options: Mapping[str, Any] | None = None) -> FrontEnd:
    """The front end that equals a transformers feature extractor.

    options  what the extractor is called with beside waveforms and their rate

    Raises FrontEndError, saying in what it differs, where none does: then the extractor itself is to be used.
    """
    family = _family(extractor)
    if options:
        raise FrontEndError(f"{family.kind} is called with options that its front end has not: {', '.join(options)}")
    _check_settings(extractor, family)
    front = family.of(extractor)
    _check_trial(extractor, front)
    return front


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


def _check_trial(extractor: Any, front: FrontEnd) -> None:
    """Raise FrontEndError unless both make the same of noise, shorter and longer than what is heard."""
    generator = torch.Generator().manual_seed(0)
    lengths = (max(front.minimum_samples, front.window_samples // 3), front.window_samples + 37)
    sounds = [0.1 * torch.randn(length, generator=generator) for length in lengths]
    own = extractor([sound.numpy() for sound in sounds], sampling_rate=front.sampling_rate, return_tensors="pt")
    ours: dict[str, Tensor] = front(sounds, front.sampling_rate)
    same = own.keys() == ours.keys() and all(
        own[name].shape == value.shape and torch.allclose(own[name], value, rtol=0, atol=TOLERANCE)
        for name, value in ours.items()
    )
    if not same:
        raise FrontEndError(
            f"this {front.kind} makes other features than its front end, though their settings are the same: its code "
            "is not what transformers 5 has, or torchaudio is missing"
        )
