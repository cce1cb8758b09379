"""The dictionary "sae": a sparse autoencoder's files on this machine, of whichever library wrote them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from jaxtyping import Float
from torch import Tensor

from .autoencoder import SparseAutoencoder
from .errors import DictionaryError
from .layouts import dictionary_learning, freud, sae_lens, sparsify
from .weights import SAFE_TENSORS, read_weights

_FOLDERS = (sae_lens, sparsify, dictionary_learning)
_PICKLES = (".pkl", ".pickle")
_FORMS = (
    "SAELens (cfg.json, sae_weights.safetensors), sparsify (cfg.json, sae.safetensors), dictionary_learning "
    "(config.json, ae.pt) or FREUD (one .pth file)"
)
_open: WeakValueDictionary[tuple[object, ...], SparseAutoencoder] = WeakValueDictionary()
"""Those that somebody holds: a run asks several times for one, and its weights are many."""


class Sae:
    """A sparse autoencoder's folder or file: SAELens, sparsify, dictionary_learning or FREUD.

    The role "dictionary" of what `open_sae` reads, whose errors it raises.
    """

    def __init__(self, path: str) -> None:
        self._autoencoder = open_sae(path)

    @property
    def width(self) -> int:
        """How many units its site has."""
        return self._autoencoder.width

    @property
    def latents(self) -> int:
        """How many latents there are."""
        return self._autoencoder.latents

    def describe(self) -> Mapping[str, Any]:
        """What the manifest says of it."""
        return self._autoencoder.describe()

    def parts(self, activations: Float[Tensor, "*frame width"]) -> Iterator[Float[Tensor, "*frame latent"]]:
        """The latents in order, some at a time."""
        return self._autoencoder.parts(activations)

    def encode(
        self, activations: Float[Tensor, "*frame width"], latents: Sequence[int]
    ) -> Float[Tensor, "*frame chosen"]:
        """Some latents, in the order in which they are asked for."""
        return self._autoencoder.encode(activations, latents)

    def shifted(
        self,
        activations: Float[Tensor, "*frame width"],
        difference: Float[Tensor, "*frame chosen"],
        latents: Sequence[int],
    ) -> Float[Tensor, "*frame width"]:
        """The activations once latents are changed by so much."""
        return self._autoencoder.shifted(activations, difference, latents)

    def portable(self) -> dict[str, Any]:
        """The encoder, as `kernels.latents` takes it."""
        return self._autoencoder.portable()


def open_sae(path: str) -> SparseAutoencoder:
    """The sparse autoencoder in a folder or file. One that somebody holds is not read again.

    Raises DictionaryError, saying what to do, where there is none that can be read.
    """
    place = Path(path).expanduser()
    if not place.exists():
        raise DictionaryError(
            f"there is no file or folder {path!r}: a dictionary is one of {_FORMS}, downloaded before"
        )
    known = (str(place.resolve()), _state(place))
    dictionary = _open.get(known)
    if dictionary is None:
        dictionary = _open[known] = _read(place)
    return dictionary


def _state(place: Path) -> tuple[object, ...]:
    """By which it is noticed that files have changed."""
    files = sorted(path for path in (place.parent if place.is_file() else place).iterdir() if path.is_file())
    return tuple((path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files)


def _read(place: Path) -> SparseAutoencoder:
    folder = place if place.is_dir() else place.parent
    layout = next((layout for layout in _FOLDERS if layout.is_here(folder)), None)
    if layout is not None and (place.is_dir() or place.name in layout.FILES):
        return layout.read(folder)
    if place.is_dir():
        raise DictionaryError(_nothing_in(place))
    if place.suffix in _PICKLES:
        raise DictionaryError(
            f"{place} is a pickle, and reading one could run any code: save the dictionary's state_dict() with "
            "safetensors.torch.save_file, in the form of one of these libraries: " + _FORMS
        )
    if place.suffix != SAFE_TENSORS:
        weights = read_weights(place)
        if freud.is_here(weights):
            return freud.read(weights)
    raise DictionaryError(f"{place} is no dictionary that is known here: it should be of {_FORMS}")


def _nothing_in(folder: Path) -> str:
    inside = [path.name for path in sorted(folder.iterdir()) if path.is_dir()]
    below = [name for name in inside if any(layout.is_here(folder / name) for layout in _FOLDERS)]
    if below:
        return f"{folder} holds several dictionaries: name one of {', '.join(below[:8])} in it"
    return f"{folder} holds no dictionary that is known here: it should be of {_FORMS}"
