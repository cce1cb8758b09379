"""Which scalings of frames are known; their arithmetic is `kernels.latents`."""

from __future__ import annotations

from .errors import DictionaryError

SCALINGS = ("none", "layer_norm", "constant_norm_rescale")


def known_scaling(name: str) -> str:
    """The name of a scaling. Raises DictionaryError for another."""
    if name in SCALINGS:
        return name
    raise DictionaryError(
        f"its activations are scaled by {name!r}, whose numbers are not in its files: fold them into the weights with "
        "the library that trained it, and save it again"
    )
