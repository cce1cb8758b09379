"""A listenable map: what of a clip a unit needs, what it does not, the mask between them, and how faithful it is."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile
from jaxtyping import Float, Float32

from ..storage import make_folder, written_whole
from ..wording import Brief
from .chance import chance
from .drawing import draw

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PARTS = ("kept", "removed", "original")


@dataclass(frozen=True)
class MapActivations(Brief):
    """A unit's activation at the firing moment, on a clip and on parts of it.

    original  on the clip
    kept      on what the mask keeps of it
    removed   on the rest
    silence   on digital silence of the same length
    moved     on what is kept by the same mask at random other places
    """

    original: float
    kept: float
    removed: float
    silence: float
    moved: tuple[float, ...]

    def share(self, activation: float) -> float:
        """An activation on the scale where silence is 0 and the clip is 1."""
        return (activation - self.silence) / (self.original - self.silence)

    @property
    def p(self) -> float:
        """How probable the kept activation is where the mask lies at random, by its rank among the moved masks'.

        At least 1 / (moved masks + 1); 1 where none was tried.
        """
        return chance(self.kept, list(self.moved))


@dataclass(frozen=True, eq=False, repr=False)
class ListenableMap:
    """The part of a clip that a unit needs, to hear. `hear` makes it.

    site, unit      the unit
    sampling_rate   samples a second of the sounds
    original        the clip as the model hears it, mono
    kept            what the unit needs of it; `removed` is the rest: both add up to the original
    mask            how much of each frame and frequency is kept, 0 to 1
    power           the original's power spectrogram
    seconds, hz     where the frames and bins of both lie
    frame           the frame of the site on which the unit fires; start, end: its seconds, None where they are unknown
    activations     of the unit at that moment
    steps           steps that the search took
    """

    site: str
    unit: int
    sampling_rate: int
    original: Float32[np.ndarray, " time"]
    kept: Float32[np.ndarray, " time"]
    removed: Float32[np.ndarray, " time"]
    mask: Float32[np.ndarray, "bin frame"]
    power: Float32[np.ndarray, "bin frame"]
    seconds: Float[np.ndarray, " frame"]
    hz: Float[np.ndarray, " bin"]
    frame: int
    start: float | None
    end: float | None
    activations: MapActivations
    steps: int

    @property
    def area(self) -> float:
        """How much of the spectrogram is kept: the mean of the mask."""
        return float(self.mask.mean())

    @property
    def energy(self) -> float:
        """The share of the clip's energy that the kept sound has."""
        whole = float(np.square(self.original, dtype=np.float64).sum())
        return float(np.square(self.kept, dtype=np.float64).sum()) / whole if whole else 0.0

    @property
    def p(self) -> float:
        """See `MapActivations.p`."""
        return self.activations.p

    def audio(self, part: str = "kept") -> tuple[Float32[np.ndarray, " time"], int]:
        """A part's waveform, and its rate: "kept", "removed" or "original". Raises ValueError for another."""
        if part not in PARTS:
            raise ValueError(f"a map has the parts {', '.join(PARTS)}, not {part!r}")
        return getattr(self, part), self.sampling_rate

    def flac(self, part: str = "kept") -> bytes:
        """A part as a FLAC file of 16 bits; louder than full scale is cut there."""
        samples, rate = self.audio(part)
        file = io.BytesIO()
        soundfile.write(file, samples.clip(-1, 1), rate, format="FLAC", subtype="PCM_16")
        return file.getvalue()

    def to_flac(self, folder: str | Path) -> tuple[Path, ...]:
        """Write `kept.flac`, `removed.flac` and `original.flac` into a folder, which is made; gives their paths."""
        folder = Path(folder)
        make_folder(folder)
        paths = tuple(folder / f"{part}.flac" for part in PARTS)
        for path, part in zip(paths, PARTS, strict=True):
            with written_whole(path) as temporary:
                temporary.write_bytes(self.flac(part))
        return paths

    def plot(self, axes: Axes | None = None) -> Axes:
        """The clip's spectrogram, grey where the mask removes it, with the firing moment.

        Raises PluginError, which says what to install, where there is no matplotlib.
        """
        axes = draw(axes, self.power, self.mask, self.seconds, self.hz, (self.start, self.end))
        axes.set_title(f"{self.site}:{self.unit}: grey is removed, p {self.p:.2g}", fontsize="small")
        return axes

    def summary(self) -> dict[str, Any]:
        """What was measured, as plain values: for tables, JSON and pages."""
        activations = self.activations
        return {
            "site": self.site,
            "unit": self.unit,
            "frame": self.frame,
            "start": self.start,
            "end": self.end,
            "area": self.area,
            "energy": self.energy,
            "original": activations.original,
            "kept": activations.kept,
            "removed": activations.removed,
            "silence": activations.silence,
            "moved": list(activations.moved),
            "p": activations.p,
            "steps": self.steps,
        }

    def __repr__(self) -> str:
        values = self.activations
        where = "" if self.start is None else f" at {self.start:.2f} s"
        return (
            f"ListenableMap({self.site}:{self.unit}{where}: {self.area:.0%} of the spectrogram kept; activation "
            f"{values.original:.3g}, kept {values.kept:.3g}, removed {values.removed:.3g}, silence "
            f"{values.silence:.3g}; p {values.p:.2g} against {len(values.moved)} masks elsewhere)"
        )
