"""A clip's spectrum under smooth masks: a coarse grid of cells, spread over time and frequency, and back to sound."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Complex, Float
from torch import Tensor

from .parts import common_fate, sounding_together

WINDOW_SECONDS = 0.032
_LEANING = 0.5


@dataclass(frozen=True)
class Grid:
    """How coarse masks are.

    parts    rows of cells: parts of the spectrum that sound together
    seconds  from one column of cells to the next
    """

    parts: int = 8
    seconds: float = 2.0


@dataclass(frozen=True, eq=False)
class Spectrum:
    """The short-time spectrum of a clip, and the cells that masks of it are made of.

    A mask has a value for each part of the spectrum and each column, between which it is linear in time. Magnitudes are
    masked; the phase is the clip's.

    waveform       [time]
    sampling_rate  samples a second
    seed           of the parts
    """

    waveform: Float[Tensor, " time"]
    sampling_rate: int
    grid: Grid = Grid()
    seed: int = 0

    @property
    def size(self) -> int:
        """Samples of a window: the power of two nearest to `WINDOW_SECONDS`."""
        return 2 ** round(math.log2(WINDOW_SECONDS * self.sampling_rate))

    @property
    def hop(self) -> int:
        """Samples from one frame to the next."""
        return self.size // 4

    @cached_property
    def values(self) -> Complex[Tensor, "bin frame"]:
        """The spectrum itself."""
        return torch.stft(
            self.waveform, self.size, self.hop, window=self._window, pad_mode="constant", return_complex=True
        )

    @property
    def cells(self) -> tuple[int, int]:
        """Rows and columns of the grid."""
        return self.grid.parts, self._over_time.shape[1]

    @cached_property
    def hz(self) -> Float[np.ndarray, " bin"]:
        """The middle of each bin."""
        return np.fft.rfftfreq(self.size, 1 / self.sampling_rate)

    @cached_property
    def seconds(self) -> Float[np.ndarray, " frame"]:
        """The middle of each frame, from the clip's start."""
        return np.arange(self.values.shape[1]) * self.hop / self.sampling_rate

    def mask(self, cells: Float[Tensor, "part column"]) -> Float[Tensor, "bin frame"]:
        """Cells spread over bins and frames."""
        return torch.einsum("pbf,pf->bf", self._parts, cells @ self._over_time.T)

    def leaning(self, cells: Float[Tensor, "part any"]) -> Float[Tensor, "part any"]:
        """Values of parts that lean, by half, on those of the parts that grow and fade together with theirs.

        A unit often reads a few partials of a sound only. What goes with them is mostly of the same source, and what of
        a sound is kept is to be the sound.
        """
        return (1 - _LEANING) * cells + _LEANING * (self._common_fate @ cells)

    @property
    def energies(self) -> Float[Tensor, " part"]:
        """Of the parts of the spectrum, each by itself."""
        return (self.values.abs() * self._parts).square().sum((1, 2))

    def sound(self, cells: Float[Tensor, "part column"]) -> Float[Tensor, " time"]:
        """What a mask lets through."""
        masked = self.values * self.mask(cells)
        return torch.istft(masked, self.size, self.hop, window=self._window, length=len(self.waveform))

    @cached_property
    def _window(self) -> Tensor:
        return torch.hann_window(self.size, device=self.waveform.device)

    @cached_property
    def _parts(self) -> Float[Tensor, "part bin frame"]:
        return sounding_together(self.values.abs(), self.grid.parts, self.seed)

    @cached_property
    def _common_fate(self) -> Float[Tensor, "part part"]:
        return common_fate(self.values.abs(), self._parts)

    @cached_property
    def _over_time(self) -> Float[Tensor, "frame column"]:
        """Weights of linear interpolation at the frames between columns, evenly from the first frame to the last."""
        columns = max(2, round(self.seconds[-1] / self.grid.seconds) + 1)
        place = self.seconds / max(self.seconds[-1], 1e-9) * (columns - 1)
        distance = np.abs(place[:, None] - np.arange(columns))
        return torch.from_numpy((1 - distance).clip(min=0).astype(np.float32)).to(self.waveform.device)
