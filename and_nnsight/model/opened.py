"""What of a model was opened: the whole of it, or a part that hears alone, or a part that only runs in the whole."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from nnsight.modeling.mixins.meta import MetaDevice
from torch import nn

from ..sites.audio_spec import sound_is_one_of_many
from ..sites.parts import Part
from .features import Featuriser
from .host import Host, part_to_open
from .weightless import described


@dataclass(frozen=True, eq=False)
class Opened:
    """A module, and the part of it that is meant.

    whole    the whole model as it was first seen, to tell its parts by; it may be without weights
    part     the part that is meant; None: the whole
    host     the model around a part that hears, which then runs alone; None: the whole runs
    current  the module as it was last loaded: with weights, but it may hold nothing beside the part
    """

    whole: nn.Module
    part: Part | None
    host: Host | None
    current: nn.Module

    @classmethod
    def of(cls, module: nn.Module, wanted: str | None) -> Opened:
        """What is opened of a model. Raises PartError for a part that it lacks, ModelError if it does not hear."""
        part = part_to_open(module, wanted)
        return cls(module, part, _host(module, part, module), module)

    def again(self, module: nn.Module) -> Opened:
        """The same of the module that now comes with its weights."""
        return replace(self, host=_host(module, self.part, self.whole), current=module)

    @property
    def module(self) -> nn.Module:
        """What runs: the part that hears, or the whole."""
        return self.current if self.host is None else self.host.tower

    @property
    def within(self) -> str:
        """Path of the part that is meant in what runs; "" where all of that is meant."""
        return self.part.path if self.part is not None and self.host is None else ""

    @property
    def main_input(self) -> str | None:
        """Name of the input that holds the sound, as the whole model takes it; None where the whole runs."""
        return None if self.host is None else self.host.main_input

    def inputs(self, features: dict[str, Any]) -> dict[str, Any]:
        """What the module that runs is called with: the features, or what the model around the part makes of them."""
        return features if self.host is None else self.host.inputs(features)

    def fitted(self, featuriser: Featuriser) -> Featuriser:
        """The feature extraction, one clip at a time where the part takes no more."""
        return featuriser if self.host is None else replace(featuriser, alone=self.host.packs(featuriser))

    @property
    def wants_mask(self) -> bool:
        """Whether the feature extractor is to say which frames hold sound: the model around the part asks for it."""
        return self.host is not None and self.host.wants_mask


def _host(module: nn.Module, part: Part | None, structure: nn.Module) -> Host | None:
    return Host(module, part, structure) if part is not None and part.hears else None


def opened_without_weights(model_class: Any, config: Any, wanted: str | None) -> Opened | None:
    """What is opened of a checkpoint, before its weights are there; None where there is no choice before they are.

    Raises PartError for a part that it does not have, ModelError for a model that does not hear.
    """
    kind = concrete(model_class, config)
    if kind is None or (wanted is None and not sound_is_one_of_many(kind)):
        return None
    with MetaDevice():
        return Opened.of(described(partial(kind._from_config, config)), wanted)


def concrete(model_class: Any, config: Any) -> Any:
    """The class that is built for a config; None for one whose code comes with the checkpoint."""
    if hasattr(model_class, "_from_config"):
        return model_class
    return model_class._model_mapping.get(type(config), None)
