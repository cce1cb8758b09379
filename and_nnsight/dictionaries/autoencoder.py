"""A sparse autoencoder: its encoder in parts of latents, its directions read when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ..kernels.latents import inside, latent_parts, scaled_frames
from .errors import DictionaryError
from .rules import Rule, on_device

PART_VALUES = 2**24
"""At most so many values of a part are made at a time (64 MiB), however many frames and latents there are."""


@dataclass(frozen=True, eq=False)
class SparseAutoencoder:
    """A sparse autoencoder whose latents are encoded in parts: the role "dictionary" (see `role`).

    library     whose files it was read from
    encoder     [latent, width]: W
    rule        what makes latents of W h
    decoder     [latent, width]: directions, on the disk until they are asked for; None where they are of another site
    input_bias  [width]: what is subtracted from a frame first, once it is scaled; None: nothing
    scale       [latent]: how many times longer latents are than the decoder takes them; None: they are as it takes them
    scaling     of a frame: see `kernels.latents.scaled_frames`
    hash        of all that its latents hang on

    It computes in float32, whatever the dtype of activations and files.
    """

    library: str
    encoder: Float[Tensor, "latent width"]
    rule: Rule
    decoder: Float[Tensor, "latent width"] | None
    input_bias: Float[Tensor, " width"] | None
    hash: str
    scale: Float[Tensor, " latent"] | None = None
    scaling: str = "none"
    _elsewhere: dict[torch.device, SparseAutoencoder] = field(default_factory=dict, repr=False)

    @property
    def width(self) -> int:
        """How many units its site has."""
        return self.encoder.shape[1]

    @property
    def latents(self) -> int:
        """How many latents there are."""
        return self.encoder.shape[0]

    def describe(self) -> Mapping[str, Any]:
        """What the manifest says of it, as JSON."""
        return {"library": self.library, "kind": self.rule.kind, "width": self.width, "hash": self.hash}

    def parts(self, activations: Float[Tensor, "*frame width"]) -> Iterator[Float[Tensor, "*frame latent"]]:
        """The latents in order, some at a time. Raises DictionaryError for activations of another width."""
        for _, latents in self._parts(activations, None):
            yield latents.unflatten(0, activations.shape[:-1])

    def encode(
        self, activations: Float[Tensor, "*frame width"], latents: Sequence[int]
    ) -> Float[Tensor, "*frame chosen"]:
        """Some latents, in the order in which they are asked for: equal to those of `parts`, for whole parts are made.

        Raises DictionaryError for activations of another width.
        """
        wanted = torch.tensor(list(latents), dtype=torch.int64)
        found: list[Tensor] = []
        order: list[Tensor] = []
        for part, values in self._parts(activations, wanted):
            places = inside(wanted, part).nonzero()[:, 0]
            found.append(values[:, (wanted[places] - part.start).to(values.device)])
            order.append(places)
        if not found:
            return activations.new_zeros((*activations.shape[:-1], 0), dtype=torch.float32)
        back = torch.cat(order).argsort().to(activations.device)
        return torch.cat(found, 1)[:, back].unflatten(0, activations.shape[:-1])

    def shifted(
        self,
        activations: Float[Tensor, "*frame width"],
        difference: Float[Tensor, "*frame chosen"],
        latents: Sequence[int],
    ) -> Float[Tensor, "*frame width"]:
        """The activations once latents are changed by so much: what the decoder does not explain stays as it is.

        A frame of which no latent is changed stays as it is, bit for bit. Raises DictionaryError for a transcoder,
        whose directions are of another site.
        """
        if self.decoder is None:
            raise DictionaryError(
                f"this {self.library} dictionary is a transcoder: it writes to another site than it reads, so its "
                "latents cannot be changed here"
            )
        chosen = torch.tensor(list(latents), dtype=torch.int64)
        directions = self.decoder[chosen].to(activations.device, torch.float32)
        change = torch.where(difference.isfinite(), difference, 0.0)
        if self.scale is not None:
            change = change / self.scale[chosen].to(activations.device)
        back = scaled_frames(self._frames(activations), self.scaling)[1].unflatten(0, activations.shape[:-1])
        return (activations.float() + change @ directions * back).to(activations.dtype)

    def portable(self) -> dict[str, Any]:
        """The encoder as `kernels.latents` takes it, which may go to a server; its directions stay here."""
        return {
            "encoder": self.encoder,
            "input_bias": self.input_bias,
            "scaling": self.scaling,
            "form": self.rule.FORM,
            "numbers": self.rule.numbers,
            "group": self.rule.group,
            "most_values": PART_VALUES,
        }

    def _parts(
        self, activations: Float[Tensor, "*frame width"], wanted: Int64[Tensor, " chosen"] | None
    ) -> Iterator[tuple[slice, Float[Tensor, "frame part"]]]:
        """The latents, part by part: those parts that hold wanted ones. `wanted` None: all."""
        yield from latent_parts(self._frames(activations), self._on(activations.device).portable(), wanted)

    def _frames(self, activations: Float[Tensor, "*frame width"]) -> Float[Tensor, "frame width"]:
        if activations.shape[-1] != self.width:
            raise DictionaryError(
                f"the dictionary is of {self.width} units, and the activations are of {activations.shape[-1]}"
            )
        return activations.reshape(-1, self.width).float()

    def _on(self, device: torch.device) -> SparseAutoencoder:
        """The dictionary with its encoder on a device; its directions stay where they are."""
        if self.encoder.device == device:
            return self
        if device not in self._elsewhere:
            moved = {name: _to(getattr(self, name), device) for name in ("encoder", "input_bias", "scale")}
            self._elsewhere[device] = replace(self, **moved, rule=on_device(self.rule, device))
        return self._elsewhere[device]


def _to(tensor: Tensor | None, device: torch.device) -> Tensor | None:
    return None if tensor is None else tensor.to(device)
