"""What a unit needs of a clip, as the page plays it: the sound that is kept, its picture, and how faithful that is."""

from __future__ import annotations

import base64
from dataclasses import dataclass

from ...audio.flac import flac_of
from ...maps.listenable_map import ListenableMap
from ..map_view import faithfulness
from ..spectrogram import data_address, part_png


@dataclass(frozen=True)
class Need:
    """The part of a clip that a unit needs. `flac` in base 64; `picture` the address of the clip's, in which the rest
    is faded."""

    flac: str
    picture: str
    seconds: float
    text: str

    @classmethod
    def of(cls, found: ListenableMap) -> Need:
        """Of a listenable map."""
        kept, rate = found.audio("kept")
        return cls(
            flac=base64.b64encode(flac_of(kept, rate)).decode(),
            picture=data_address(part_png(found.original, kept, rate)),
            seconds=len(kept) / rate,
            text=faithfulness(found),
        )
