"""What a unit needs of a clip, as the page plays it: the sound that is kept, its picture, and how faithful that is."""

from __future__ import annotations

import base64
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from ...audio.flac import encode_flac
from ...maps.listenable_map import ListenableMap
from ..spectrogram import data_address, spectrogram_png


@dataclass(frozen=True)
class Need:
    """The part of a clip that a unit needs. `flac` in base 64; `picture` the address of its spectrogram."""

    flac: str
    picture: str
    seconds: float
    text: str

    @classmethod
    def of(cls, found: ListenableMap) -> Need:
        """Of a listenable map."""
        kept, rate = found.audio("kept")
        return cls(
            flac=base64.b64encode(encode_flac(_within_full_scale(kept), rate)).decode(),
            picture=data_address(spectrogram_png(kept, rate)),
            seconds=len(kept) / rate,
            text=_faithfulness(found),
        )


def _within_full_scale(samples: Float32[np.ndarray, " sample"]) -> Float32[np.ndarray, " sample"]:
    return samples / np.float32(max(1.0, float(np.abs(samples).max(initial=0.0))))


def _faithfulness(found: ListenableMap) -> str:
    """How much is kept, and what the unit makes of it, of the rest, and of masks that lie elsewhere."""
    activations = found.activations
    chance = f", p {found.p:.2f} against the same mask elsewhere" if activations.moved else ""
    return (
        f"{found.area:.0%} of the spectrogram is kept. The unit says {activations.original:.3g} on the clip, "
        f"{activations.kept:.3g} on what is kept{chance}, {activations.removed:.3g} on the rest, "
        f"{activations.silence:.3g} on silence."
    )
