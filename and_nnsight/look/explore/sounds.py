"""Sounds that were dropped on the page or recorded there: what the model hears of them."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from ...audio.flac import encode_flac
from ...audio.loading import load
from ..spectrogram import data_address, spectrogram_png

MOST = 16
"""Sounds that are kept; the oldest goes first."""


@dataclass(frozen=True, eq=False)
class HeardSound:
    """A sound, as the model hears it: mono, at its rate, up to its window. `picture`: its spectrogram's address."""

    key: str
    samples: Float32[np.ndarray, " sample"]
    rate: int
    flac: bytes
    picture: str

    @property
    def seconds(self) -> float:
        """How long it is."""
        return len(self.samples) / self.rate


class Sounds:
    """The last few sounds that came in."""

    def __init__(self, rate: int, window: int | None) -> None:
        """`rate` and `window` (in samples) of the model; without a window a sound may have a minute."""
        self._rate, self._window = rate, window or 60 * rate
        self._kept: OrderedDict[str, HeardSound] = OrderedDict()

    def add(self, content: bytes) -> HeardSound:
        """A sound file. Raises AudioError for what is none."""
        samples = load(content, self._rate, name="this sound", window=self._window).samples
        loudest = float(np.abs(samples).max())
        picture = data_address(spectrogram_png(samples, self._rate))
        flac = encode_flac(samples / max(1.0, loudest), self._rate)
        sound = HeardSound(secrets.token_urlsafe(9), samples, self._rate, flac, picture)
        self._kept[sound.key] = sound
        if len(self._kept) > MOST:
            self._kept.popitem(last=False)
        return sound

    def get(self, key: str) -> HeardSound | None:
        """A sound that came in before; None if it is gone."""
        return self._kept.get(key)
