"""The sounds of exemplars and their units' activations over time, read from a dissection's folder `exemplars/`.

Both are there for the units for which `and_nnsight.keep_exemplars` (or `dissect` with keep_exemplars=) put them there.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from ..audio.errors import AudioError
from ..audio.flac import decode_flac
from ..storage import undamaged
from .curves import Curve, SiteCurves, read_curves
from .errors import DissectionError
from .files import curves_file, curves_folder, sound_file, sounds_folder

_REMEDY = "remove it and keep the exemplars again (keep_exemplars, or `and-nnsight exemplars`)"
_MOST_FILES = 64  # whose curves stay in memory
CurveKey = tuple[str, int, int]
"""A site, a unit of it, and a clip."""


class ExemplarStore:
    """The sounds and curves of exemplars in a dissection's folder. What is filled in meanwhile shows at once."""

    def __init__(self, folder: Path) -> None:
        """`folder` is the dissection's; it need not hold any exemplars."""
        self.folder = folder
        self.curves = StoredCurves(folder)

    @property
    def clips(self) -> tuple[int, ...]:
        """Ids of the clips whose sound is there, ascending."""
        return _clips_in(sounds_folder(self.folder), ".flac")

    def has_sound(self, clip: int) -> bool:
        """Whether the sound of a clip is there."""
        return sound_file(self.folder, clip).exists()

    def flac(self, clip: int) -> bytes:
        """A clip's sound as a FLAC file: mono, at the model's rate, up to its window: what the model hears.

        Raises DissectionError, saying how to fill it, if it is not there.
        """
        return self._sound(clip)[0]

    def audio(self, clip: int) -> tuple[Float32[np.ndarray, " sample"], int]:
        """A clip's samples, mono, as the model hears them, and their rate in Hz.

        Raises DissectionError, saying how to fill it, if it is not there.
        """
        return self._sound(clip)[1]

    def curve(self, site: str, unit: int, clip: int) -> Curve:
        """A unit's activation over the time of a clip.

        Raises DissectionError, saying how to fill it, if it is not there.
        """
        there = self.curves.of_clip(clip).get(site)
        curve = None if there is None else there.curve(unit)
        if curve is None:
            raise DissectionError(
                f"the activation of unit {unit} of {site!r} over clip {clip} was not kept: "
                f"{_how_to_fill(self.folder, site, unit)}"
            )
        return curve

    def _sound(self, clip: int) -> tuple[bytes, tuple[Float32[np.ndarray, " sample"], int]]:
        path = sound_file(self.folder, clip)
        if not path.exists():
            raise DissectionError(f"the sound of clip {clip} was not kept: {_how_to_fill(self.folder)}")
        with undamaged(path, _REMEDY, DissectionError):
            content = path.read_bytes()
            try:
                return content, decode_flac(content)
            except AudioError as error:
                raise ValueError(error.reason) from error

    def __repr__(self) -> str:
        return f"ExemplarStore({str(self.folder)!r}: {len(self.clips):,} clips)"


class StoredCurves:
    """The curves that are there, as a collection of (site, unit, clip)."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[int, tuple[int, dict[str, SiteCurves]]] = {}

    def of_clip(self, clip: int) -> dict[str, SiteCurves]:
        """The curves of a clip by site. Raises DissectionError if their file is damaged."""
        path = curves_file(self._folder, clip)
        try:
            written = path.stat().st_mtime_ns
        except OSError:
            return {}
        if self._read.get(clip, (None,))[0] != written:
            with undamaged(path, _REMEDY, DissectionError):
                self._read[clip] = (written, read_curves(path))
            if len(self._read) > _MOST_FILES:
                del self._read[next(iter(self._read))]
        return self._read[clip][1]

    def __contains__(self, key: object) -> bool:
        if not isinstance(key, tuple) or len(key) != 3:
            return False
        site, unit, clip = key
        there = self.of_clip(clip).get(site)
        return there is not None and there.curve(unit) is not None

    def __iter__(self) -> Iterator[CurveKey]:
        for clip in _clips_in(curves_folder(self._folder), ".safetensors"):
            for site, curves in self.of_clip(clip).items():
                for unit in curves.units.tolist():
                    yield site, unit, clip

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        clips = len(_clips_in(curves_folder(self._folder), ".safetensors"))
        return f"StoredCurves(of units on {clips:,} clips)"


def _clips_in(folder: Path, ending: str) -> tuple[int, ...]:
    """The clips that have a file in a folder, ascending; other files are somebody else's."""
    names = [path.stem for path in folder.glob(f"*{ending}")] if folder.is_dir() else []
    return tuple(sorted(int(name) for name in names if name.isascii() and name.isdigit()))


def _how_to_fill(folder: Path, site: str = "SITE", unit: int | str = "UNIT") -> str:
    named = (repr(site), str(unit)) if isinstance(unit, int) else ("site", "unit")
    return (
        f"call and_nnsight.keep_exemplars(dissection, [({', '.join(named)})]), or "
        f"`and-nnsight exemplars {folder} --units {site}:{unit}`, to keep it"
    )
