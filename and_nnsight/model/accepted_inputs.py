"""What a feature extractor makes, as what a forward takes: towers of composites name their inputs in their own ways.

A checkpoint's processor renames what its feature extractor makes before the model sees it; a tower that is run alone
has no processor.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..sites.audio_spec import inputs_of
from ..sites.blocks import find_blocks
from ..sites.wrappers import through
from .features import Features, is_sound

_LENGTHS = "feature_lens"
"""An encoder that takes these runs over the frames of all clips in one row, without padding between them."""

_OF_FEATURES = "input_features_mask"
"""Encoders that take this cannot do without it, whatever their forward says."""
PADDING_MASK = "audio_mel_mask"
"""Gemma 3n's tower wants a mask of padding, and its feature extractor makes one of sound."""


@dataclass(frozen=True)
class _Taken:
    """What a module's forward takes, by name: all inputs, masks of the sound, and those of them that it needs."""

    names: frozenset[str]
    masks: tuple[str, ...]
    needed: tuple[str, ...]

    @classmethod
    def of(cls, module: nn.Module) -> _Taken:
        parameters = inspect.signature(type(module).forward).parameters
        masks = [name for name in parameters if "mask" in name and not name.startswith(("decoder", "output"))]
        needed = [name for name in masks if _is_needed(parameters[name])]
        return cls(frozenset(parameters), tuple(masks), tuple(needed))


def accepted(module: nn.Module, features: Features, main: str) -> Features:
    """Features by the names under which a module's forward takes them; its mask is made where it cannot do without.

    main  the name of the input that holds the sound

    Raises ValueError where a module that hears one clip at a time is given several.
    """
    taken = _Taken.of(module)
    renamed = _renamed(features, main, taken)
    if _LENGTHS in taken.names:
        return _in_one_row({**features, **renamed}, main)
    if taken.needed and taken.needed[0] not in renamed and main in renamed:
        renamed[taken.needed[0]] = _ones(renamed[main])
    if PADDING_MASK in renamed and PADDING_MASK not in features:
        renamed[PADDING_MASK] = ~renamed[PADDING_MASK].bool()
    return renamed


def needs_mask(module: nn.Module) -> bool:
    """Whether a module's forward cannot do without a mask of the frames that hold sound, or their number."""
    parameters = inspect.signature(type(module).forward).parameters.values()
    return any(each.name == _LENGTHS or ("mask" in each.name and _is_needed(each)) for each in parameters)


def _is_needed(mask: inspect.Parameter) -> bool:
    return mask.default is inspect.Parameter.empty or mask.name == _OF_FEATURES


def runs_one_clip(module: nn.Module) -> bool:
    """Whether a module's blocks attend over the frames of all clips in one row, whose borders they are told."""
    kinds = (type(through(module.get_submodule(block.path))[1]) for block in find_blocks(module))
    return any("cu_seqlens" in inputs_of(kind) for kind in kinds)


def _renamed(features: Features, main: str, taken: _Taken) -> Features:
    """The sound under its name, and the mask under its; what else there is under its own."""
    spare = [name for name in taken.masks if name not in features]
    renamed: Features = {}
    for name, value in features.items():
        if name in taken.names:
            renamed[name] = value
        elif is_sound(value) and main not in {**features, **renamed}:
            renamed[main] = value
        elif "mask" not in name:
            renamed[name] = value
        elif spare and renamed.keys().isdisjoint(taken.masks):
            renamed[spare[0]] = value
    return renamed


def _ones(sound: Tensor) -> Tensor:
    """A mask of the whole of features: of [clip, bin, step] or [clip, step, bin], whose longer axis is time."""
    steps = sound.shape[-1] if sound.ndim == 2 else max(sound.shape[1:])
    return torch.ones(len(sound), steps, dtype=torch.long, device=sound.device)


def _in_one_row(features: Features, main: str) -> Features:
    """One clip's features without its padding, [bin, step], and how many steps they are."""
    sound = features.pop(main)
    if sound.ndim == 2:  # in one row already
        return {main: sound, **features}
    if len(sound) > 1:
        raise ValueError(
            f"this encoder runs the frames of several clips in one row, and has {len(sound)} of them here: give it one "
            "clip at a time, as dissect does"
        )
    masks = [features.pop(name) for name in list(features) if "mask" in name]
    steps = int(masks[0].sum()) if masks else sound.shape[-1]
    return {main: sound[0, :, :steps], _LENGTHS: torch.tensor([steps], device=sound.device), **features}
