"""The role "dictionary": what turns a site's activations into latents, and a change of latents into one of activations.

`SITE|NAME:ARGUMENT` names the latents of the dictionary NAME:ARGUMENT on a site, anywhere a site goes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from .. import plugins

MARK = "|"
"""Stands between a site and the dictionary on it."""


@runtime_checkable
class Dictionary(Protocol):
    """A dictionary over activations of one width.

    An entry point in the group `and_nnsight.dictionaries` names what makes one of the argument after its name.
    Activations have any leading axes and any floating-point dtype, on any device; latents are float32, and NaN of a
    frame that is not finite.
    """

    @property
    def width(self) -> int:
        """How many units its site has."""
        ...

    @property
    def latents(self) -> int:
        """How many latents there are."""
        ...

    def describe(self) -> Mapping[str, Any]:
        """What the manifest says of it, as JSON: `library`, `kind`, and a `hash` of all that its latents hang on."""
        ...

    def parts(self, activations: Float[Tensor, "*frame width"]) -> Iterator[Float[Tensor, "*frame latent"]]:
        """The latents in order, some at a time: no more than memory takes."""
        ...

    def encode(
        self, activations: Float[Tensor, "*frame width"], latents: Sequence[int]
    ) -> Float[Tensor, "*frame chosen"]:
        """Some latents, in the order in which they are asked for."""
        ...

    def shifted(
        self,
        activations: Float[Tensor, "*frame width"],
        difference: Float[Tensor, "*frame chosen"],
        latents: Sequence[int],
    ) -> Float[Tensor, "*frame width"]:
        """The activations once latents are changed by so much: along their directions, whatever is not explained kept.

        Raises DictionaryError for a dictionary whose directions are of another site.
        """
        ...


@runtime_checkable
class PortableDictionary(Protocol):
    """A dictionary whose encoder may go to a server: of a form that `kernels.latents` knows."""

    def portable(self) -> dict[str, Any]:
        """The encoder, as `kernels.latents` takes it."""
        ...


def open_dictionary(chosen: str) -> Dictionary:
    """The dictionary "name:argument". Raises PluginError, saying what to do, where there is none."""
    return plugins.make("dictionary", chosen)
