"""The model around a part that hears: which part of it is opened, and what it hands to that part of a clip's features.

Masks, lengths and layouts that a tower wants are made by the model that holds it, in its own code: that code is run, as
far as the tower.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..portable import text_before
from ..sites.audio_spec import declared_spec, inputs_of, reads_instead, sound_input, sound_is_one_of_many
from ..sites.parts import Part, bare_parts, hearing, named_part
from ..wording import first_line
from .accepted_inputs import PADDING_MASK
from .checkpoint import ModelError
from .devices import device_of, dtype_of
from .features import Featuriser
from .inputs import audio_forward

_METHOD = "get_audio_features"
_TEXT = ((), ("input_ids",), ("input_ids", "inputs_embeds"))
"""What of text a forward may want beside sound, in the order in which it is tried."""
_OF_SOUND = ("feature", "audio")  # in the name of a mask: it is not that of the text


def part_to_open(whole: nn.Module, wanted: str | None) -> Part | None:
    """The part of a model that is opened: the one wanted, else the one that hears; None where the whole runs on sound.

    Raises PartError for a part that it does not have, ModelError for a model that does not hear.
    """
    if wanted is not None:
        part = named_part(bare_parts(whole), wanted)
        return part if part.path else None
    if not sound_is_one_of_many(type(whole)) or declared_spec(whole) is not None or audio_forward(whole) is not whole:
        return None
    parts = bare_parts(whole)
    part = hearing(parts)
    if part is None:
        raise ModelError(_deaf(whole, parts))
    return part if part.path else None


def _deaf(whole: nn.Module, parts: tuple[Part, ...]) -> str:
    """Why nothing is opened of a model that does not hear, and what may be opened of it by name."""
    name, instead = type(whole).__name__, reads_instead(type(whole))
    others = ", ".join(f"{each.name} ({each.does})" for each in parts if each.path and each.does)
    speaks = "audio" in (getattr(whole, "output_modalities", None) or ()) or any(part.speaks for part in parts)
    what = "makes sound, but does not hear" if speaks else "is not a model of sound"
    config = getattr(whole, "config", None)
    straight = ": it goes straight to what reads" if getattr(config, "audio_config", None) is not None else ""
    deaf = f"{name} takes sound, but no part of it hears by itself{straight}"
    said = f"{name} {what}: it reads {instead}" if instead else deaf
    return said + (f"; part= opens what is in it: {others}" if others else "")


@dataclass(frozen=True)
class Way:
    """How a whole model is called so that it hands sound to its part.

    holder  path of the module that is called
    method  its method
    text    inputs of text that it also wants
    names   by what names it takes what a feature extractor gives
    by_name whether the whole model has the method, too, and it is called on sound alone
    """

    holder: str
    method: str
    text: tuple[str, ...]
    names: Mapping[str, str]
    by_name: bool = False


class Host:
    """A whole model around the part of it that hears, which runs alone.

    whole      the model, or what was loaded of it: the part, and what it is in
    part       the part, which sound goes into
    structure  the model with all that is in it, with weights or without
    """

    def __init__(self, whole: nn.Module, part: Part, structure: nn.Module) -> None:
        self.whole, self.part, self.structure = whole, part, structure
        self.main_input, self._holder_path = self._entrance()
        self._last_call: int | None = None

    @property
    def tower(self) -> nn.Module:
        """The module of the part."""
        return self.whole.get_submodule(self.part.path)

    @property
    def wants_mask(self) -> bool:
        """Whether the model makes use of a mask of the features' frames that hold sound."""
        return any("mask" in name for name in self._entrance_inputs())

    def packs(self, featuriser: Featuriser) -> bool:
        """Whether the tower is given clips one after another on one axis, so that it can only be read clip by clip."""
        rate = featuriser.sampling_rate
        features = featuriser([np.zeros(length, np.float32) for length in (rate, rate + rate // 2)])
        return next(iter(self._handed(features).values())).shape[0] != 2

    def inputs(self, features: Mapping[str, Any]) -> dict[str, Any]:
        """What the tower is called with where the whole model is given these features, by the names of its forward.

        Raises ModelError where the whole model does not get as far as that, and for several clips if the tower takes
        one at a time.
        """
        handed = self._handed(features)
        clips = len(next(iter(features.values()))) if features else 1
        if clips > 1 and next(iter(handed.values())).shape[0] != clips:
            raise ModelError(
                f"the {self.part.name} of {type(self.whole).__name__} takes clips one after another on one axis, where "
                "they cannot be told apart: give it one clip a trace"
            )
        return handed

    def way(self, features: Iterable[str], scan: Callable[[], Any]) -> Way | None:
        """How the whole model is called for it to hand sound to the part; None where it never does by itself.

        `features` are their names; `scan` has the part called once, without weights.
        """
        holder = type(self.whole.get_submodule(self._holder_path))
        if self._wants_padding(holder):
            raise ModelError(
                f"{type(self.whole).__name__} turns the mask of its sound around before it calls {_METHOD}, which a "
                "server would call as it is: run it here, without remote="
            )
        inputs = self._entrance_inputs()
        taken = _renamed({name: name for name in features}, inputs)
        names = {source: target for target, source in taken.items()} | {target: target for target in taken}
        if hasattr(holder, _METHOD):  # no other way is tried
            text = ("input_ids",) if "input_ids" in inputs else ()
            return Way(self._holder_path, _METHOD, text, names, not text and hasattr(type(self.whole), _METHOD))
        scan()
        return None if self._last_call is None else Way(self._holder_path, "__call__", _TEXT[self._last_call], names)

    def _handed(self, features: Mapping[str, Any]) -> dict[str, Any]:
        failures: list[str] = []
        for number, call in enumerate(self._calls(features)):
            try:
                call()
            except _Handed as handed:
                self._last_call = number
                return self._by_name(handed)
            except Exception as error:  # a model that wants more than sound raises anything; the next way may be its
                failures.append(first_line(error))
        own = inputs_of(type(self.tower))
        if self.main_input in own and all(name in own for name in features):
            return dict(features)  # it is never called on sound alone, but it takes what the feature extractor gives
        raise ModelError(
            f"{type(self.whole).__name__} does not hand these features ({', '.join(features)}) to its "
            f"{self.part.name}: {failures[0]}; give feature_extractor= the checkpoint's own"
        )

    def _by_name(self, handed: _Handed) -> dict[str, Any]:
        signature = inspect.signature(type(self.tower).forward)
        bound = signature.bind(None, *handed.args, **handed.named).arguments
        starred = [name for name, each in signature.parameters.items() if each.kind is inspect.Parameter.VAR_KEYWORD]
        further = {key: value for name in starred for key, value in bound.pop(name, {}).items()}
        return {**dict(list(bound.items())[1:]), **further}

    def _entrance(self) -> tuple[str, str]:
        """The name under which sound goes in, and the path of the nearest module around the part that takes it."""
        for path in _ancestors(self.part.path):
            holder = self.whole.get_submodule(path)
            method = getattr(type(holder), _METHOD, None)
            name = sound_input(method) if method is not None else sound_input(type(holder).forward)
            if name is not None:
                return name, path
        name = sound_input(type(self.tower).forward)
        return name or inputs_of(type(self.tower))[0], ""

    def _entrance_inputs(self) -> list[str]:
        holder = type(self.whole.get_submodule(self._holder_path))
        return list(inspect.signature(getattr(holder, _METHOD, holder.forward)).parameters)

    def _calls(self, features: Mapping[str, Any]) -> Iterator[Callable[[], Any]]:
        """The ways to have the holder call the tower: on sound alone, and on sound after a token or two."""
        holder = self._holder()
        given = _renamed(features, self._entrance_inputs())
        if self._wants_padding(type(holder)):
            given = {name: ~value.bool() if "mask" in name else value for name, value in given.items()}
        if hasattr(type(holder), _METHOD):
            # Some want tokens, for what comes after the tower.
            wanted = tuple(name for name in _TEXT[1] if name in self._entrance_inputs())
            yield lambda: getattr(holder, _METHOD)(**text_before(features, wanted), **given)
            return
        for names in _TEXT:
            yield partial(holder.forward, **text_before(features, names), **given)

    def _wants_padding(self, holder: type) -> bool:
        """Whether the method for sound wants a mask of padding, whatever it is named: the tower is handed it as is."""
        return hasattr(holder, _METHOD) and PADDING_MASK in inputs_of(type(self.tower))

    def _holder(self) -> Any:
        """The module that calls the tower, with one in the tower's place that tells what it is called with."""
        holder = self.whole.get_submodule(self._holder_path)
        relative = self.part.path.removeprefix(self._holder_path).strip(".")
        structure = self.structure.get_submodule(self._holder_path)
        copied = _with_stand_in(holder, relative.split("."), self.tower, structure)
        copied.__dict__["get_input_embeddings"] = lambda: _embedded
        return copied


def _embedded(tokens: Tensor) -> Tensor:
    return torch.zeros(*tokens.shape, 1, device=tokens.device)


class _Handed(Exception):
    """What a tower was called with."""

    def __init__(self, args: tuple[Any, ...], named: dict[str, Any]) -> None:
        super().__init__()
        self.args, self.named = args, named


class _StandIn(nn.Module):
    """In a tower's place: has all that it has, but tells what it is called with instead of running."""

    def __init__(self, tower: nn.Module) -> None:
        super().__init__()
        self.__dict__["_tower"] = tower

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_tower"], name)

    def forward(self, *args: Any, **named: Any) -> Any:
        raise _Handed(args, named)


class _Absent:
    """In the place of what was not loaded: where it would be can be asked, but nothing can be made of it."""

    def __init__(self, tower: nn.Module, name: str) -> None:
        self.device, self.dtype, self.name = device_of(tower), dtype_of(tower), name

    def __getattr__(self, name: str) -> Any:
        return self

    def __call__(self, *args: Any, **named: Any) -> Any:
        raise ModelError(f"{self.name} is needed before the part, and is not in it")


def _with_stand_in(module: nn.Module, path: list[str], tower: nn.Module, structure: nn.Module) -> nn.Module:
    """A shallow copy of a module and of what is on the way to the tower in it, where the stand-in is put.

    What the module lacks of its structure, it has in name.
    """
    copied = copy.copy(module)
    copied.__dict__.update({name: _Absent(tower, name) for name in structure._modules if name not in module._modules})
    copied.__dict__["_modules"] = dict(module._modules)
    copied.__dict__.pop("forward", None)  # nnsight's, which would run the module that was copied
    name, *further = path
    child = module.get_submodule(name)
    copied._modules[name] = (
        _with_stand_in(child, further, tower, structure.get_submodule(name)) if further else _StandIn(tower)
    )
    return copied


def _renamed(features: Mapping[str, Any], inputs: list[str]) -> dict[str, Any]:
    """Features by the names of a method's inputs: a mask by whatever the method calls it; others are left out."""
    named = {name: value for name, value in features.items() if name in inputs}
    mask = next(filter(_is_mask_of_sound, inputs), None)
    plain = next((name for name in ("attention_mask", "padding_mask") if name in features), None)
    if mask is None or plain is None or mask in named:
        return named
    named.pop(plain, None)  # there it would be that of the text
    return {**named, mask: features[plain]}


def _is_mask_of_sound(name: str) -> bool:
    return name.endswith("mask") and any(word in name for word in _OF_SOUND)


def _ancestors(path: str) -> Iterator[str]:
    while path:
        path = path.rpartition(".")[0]
        yield path
