"""The one interface of models, whatever kind they are: what a run asks of them, and the role of plugins for models."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ..sites.parts import Part
from ..sites.site import Site
from .arithmetic import arithmetic
from .device_features import featuriser_on
from .devices import device_of, to_device
from .features import Features, Featuriser
from .fingerprint import changes, config_hash, extractor_hash, structure_hash, weights_hash
from .forwards import Forward, Hearing
from .restoring import eval_mode

OnActivation = Callable[[Site, Tensor], None]
"""What is called with each site and its activation, as `Site.fold` returns it: [clip, frame, unit] or [clip, unit].

Of a site whose units are a dictionary's latents it is the tensor that these are made of, by `Site.parts`.
"""


class ModelAdapter(ABC):
    """What a run asks of a model. AudioModel answers it, and so do the models of plugins, which derive from it.

    `name` and `revision` say in the manifest what it is.
    """

    name: str | None = None
    revision: str | None = None

    @property
    @abstractmethod
    def wrapped(self) -> nn.Module:
        """The module whose parameters, device, dtype and mode (it is put in eval mode during a run) are meant."""

    @property
    @abstractmethod
    def featuriser(self) -> Featuriser:
        """Feature extraction: waveforms in, model inputs out. Picklable, for it runs in worker processes."""

    @abstractmethod
    def sites(self, *patterns: str) -> tuple[Site, ...]:
        """The sites that the patterns name (all without one), in forward order: see `site.select_sites`.

        Raises SiteError for a pattern that names nothing.
        """

    @property
    def part(self) -> Part | None:
        """Which part of a composite model was opened; None where the whole model runs."""
        return None

    def parts(self) -> tuple[Part, ...]:
        """The parts of the model where it is a composite one, with their sites."""
        return ()

    @abstractmethod
    def run(self, sites: Sequence[Site], features: Features, on_activation: OnActivation) -> None:
        """Run the model on features, no further than the last site needs; hand over each site's activation once.

        Features are on the model's device; floats may still have to be cast to its dtype. Sites come in the order in
        which they fire; only `shapes`, where it is not overridden, asks for another order. Raises SiteError, naming
        them, if sites do not fire.
        """

    def run_with_gradient(self, sites: Sequence[Site], features: Features, on_activation: OnActivation) -> None:
        """As `run`, but so that gradients of the activations reach what the features were made of.

        Here for models whose `run` leaves gradients on; one that turns them off has to override it.
        """
        self.run(sites, features, on_activation)

    def forwards(self, clips: Sequence[Hearing], features: Features) -> Iterable[Forward]:
        """The clips of a group as they run: all together, but where a model writes answers of several lengths first.

        Features are on the model's device. Each clip is in one of them.
        """
        return (Forward(range(len(clips)), features),)

    @property
    def device(self) -> torch.device:
        """Where the model's inputs belong."""
        return device_of(self.wrapped)

    @property
    def edits(self) -> int:
        """Changes to the computation that neither config nor weights show: runs of such a model are not recognised."""
        return 0

    def shapes(self, sites: Sequence[Site], features: Features) -> dict[str, torch.Size]:
        """The shape of each site's activation for these features, in the order in which the sites fire.

        Sites come in any order, features on any device. Raises SiteError for sites that do not fire.
        """
        shapes: dict[str, torch.Size] = {}

        def note(site: Site, value: Tensor) -> None:
            shapes.setdefault(site.name, value.shape)

        with torch.no_grad(), eval_mode(self.wrapped):
            self.run(sites, to_device(features, self.device), note)
        return shapes

    def check_features(self, features: Features) -> None:  # noqa: B027  # most models take any size
        """Raise ValueError for features of a size that the model does not take."""

    def describe(self) -> dict[str, Any]:
        """What the manifest says of the model, as JSON: a run continues one whose description is equal."""
        features = featuriser_on(self.featuriser, self.device)
        return {
            "id": self.name or type(self.wrapped).__name__,
            "revision": self.revision,
            **({} if self.part is None else {"part": self.part.name}),
            "class": type(self.wrapped).__name__,
            "edits": self.edits + changes(self.wrapped, self.featuriser.extractor),
            "config": config_hash(self.wrapped),
            "weights": weights_hash(self.wrapped),
            "structure": structure_hash(self.wrapped),
            "features": extractor_hash(self.featuriser.extractor),
            "arithmetic": ", ".join(filter(None, (arithmetic(self.wrapped, self.device), features.arithmetic))),
            "features_by": features.made_by,
        }


class ModelPlugin(Protocol):
    """The role "model": opens models that transformers does not have, and takes in objects that are some model's.

    An entry point in the group `and_nnsight.models` names a class without arguments; `dissect("name:argument", …)` and
    the command line open by it, and every object that `dissect` does not know is shown to `adapt`.
    """

    def open(self, argument: str, *, device: str | torch.device | None, dtype: torch.dtype | None) -> ModelAdapter:
        """The model that "name:argument" names, its weights loaded, in eval mode.

        `device` None: a GPU if there is one. Raises ValueError, saying why, if there is no such model.
        """
        ...

    def adapt(self, value: Any) -> ModelAdapter | None:
        """A model around an object of the plugin's own kind; None, and no heavy import, for any other."""
        ...
