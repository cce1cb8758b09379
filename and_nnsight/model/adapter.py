"""A model that is no AudioModel: what `dissect` needs of it, and the role of the plugins that bring it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn

from ..sites.site import Site
from .features import Features, Featuriser
from .fingerprint import changes, config_hash, extractor_hash, structure_hash, weights_hash

if TYPE_CHECKING:
    from .audio_model import AudioModel

Take = Callable[[Site, Tensor], None]


class ModelAdapter(ABC):
    """Base class of models that hear sound and hand out what is at their sites, each in its own way.

    `dissect` takes an instance as it takes an AudioModel. `name` and `revision` say in the manifest what it is.
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
        """The sites that the patterns name (all without one), in forward order: see `sites.select_sites`.

        Raises SiteError for a pattern that names nothing.
        """

    @abstractmethod
    def listen(self, sites: Sequence[Site], features: Features, take: Take) -> None:
        """Run the model on features; hand each site's activation, as `Site.fold` returns it, to `take` once.

        Features are on the model's device; floats may still have to be cast to its dtype. Sites come in any order.
        Raises SiteError, naming them, if sites do not fire.
        """

    @property
    def edits(self) -> int:
        """Changes to the computation that neither config nor weights show: runs of such a model are not recognised."""
        return 0

    def describe(self) -> dict[str, Any]:
        """What the manifest says of the model, as JSON: a run continues one whose description is equal."""
        return {
            "id": self.name or type(self.wrapped).__name__,
            "revision": self.revision,
            "class": type(self.wrapped).__name__,
            "edits": self.edits + changes(self.wrapped),
            "config": config_hash(self.wrapped),
            "weights": weights_hash(self.wrapped),
            "structure": structure_hash(self.wrapped),
            "features": extractor_hash(self.featuriser.extractor),
        }


class ModelPlugin(Protocol):
    """The role "model": opens models that transformers does not have, and takes in objects that are some model's.

    An entry point in the group `and_nnsight.models` names a class without arguments; `dissect("name:argument", …)` and
    the command line open by it, and every object that `dissect` does not know is shown to `adapt`.
    """

    def open(
        self, argument: str, *, device: str | torch.device | None, dtype: torch.dtype | None
    ) -> AudioModel | ModelAdapter:
        """The model that "name:argument" names, its weights loaded, in eval mode.

        `device` None: a GPU if there is one. Raises ValueError, saying why, if there is no such model.
        """
        ...

    def adapt(self, value: Any) -> AudioModel | ModelAdapter | None:
        """A model around an object of the plugin's own kind; None, and no heavy import, for any other."""
        ...
