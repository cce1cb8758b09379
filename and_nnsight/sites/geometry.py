"""Where in a clip a frame lies: positions on a site's token axis to seconds.

A geometry is pure arithmetic over numpy arrays. It is stored in a dissection's manifest, so exemplars have seconds
without the model at hand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Bool, Float, Int


@dataclass(frozen=True)
class Geometry:
    """How a site's token axis lies on the time axis of a clip. The base class knows nothing: every frame counts."""

    kind: ClassVar[str] = "unknown"
    in_time: ClassVar[bool] = False
    """Whether a frame stands for a stretch of seconds that is not the whole clip."""
    special_tokens: int = 0

    def times(self, frames: Int[np.ndarray, " frame"]) -> Float[np.ndarray, "frame 2"]:
        """Start and end in seconds of the stretch that each frame stands for; NaN where there is none."""
        return np.full((len(frames), 2), np.nan)

    def valid(self, seconds: Float[np.ndarray, " clip"], frames: int) -> Bool[np.ndarray, "clip frame"]:
        """Which of the first `frames` positions count for clips of these lengths.

        A frame counts when the stretch it stands for overlaps the clip's own audio; special tokens never count. A clip
        too short for any frame keeps the first one, so that every clip has a value.
        """
        positions = np.arange(frames)
        starts = self.times(positions)[:, 0]
        known = ~np.isnan(starts) if self.kind != "unknown" else np.ones(frames, bool)
        known &= positions >= self.special_tokens
        overlaps = known & ~(starts >= np.asarray(seconds)[:, None])
        return _keep_one(overlaps, known)

    def text(self, frame: int) -> str | None:
        """The text of the token that a frame is; None for frames of sound."""
        return None

    def to_json(self) -> dict[str, Any]:
        """The geometry as plain JSON values; `from_json` reads it back."""
        return {"kind": self.kind, **asdict(self)}


@dataclass(frozen=True)
class WholeClip(Geometry):
    """One value a clip, such as class logits: its only frame stands for the whole clip."""

    kind: ClassVar[str] = "clip"

    def times(self, frames: Int[np.ndarray, " frame"]) -> Float[np.ndarray, "frame 2"]:
        """Zero to infinity: the caller cuts at the clip's end."""
        return np.tile(np.array([0.0, np.inf]), (len(frames), 1))


@dataclass(frozen=True)
class Regular(Geometry):
    """Frames at a fixed hop: frame i stands for [i · hop, i · hop + span) seconds."""

    kind: ClassVar[str] = "regular"
    in_time: ClassVar[bool] = True
    hop: float = 0.02
    span: float = 0.02

    def times(self, frames: Int[np.ndarray, " frame"]) -> Float[np.ndarray, "frame 2"]:
        """Start and end in seconds."""
        start = (np.asarray(frames) - self.special_tokens) * self.hop
        return _forget_special(np.stack([start, start + self.span], -1), frames, self.special_tokens)


@dataclass(frozen=True)
class Convolved(Regular):
    """Frames out of a stack of unpadded convolutions over samples (or over stacked spectrogram frames).

    Only frames that the clip would have had alone count: in a padded batch, a frame that reaches past the clip's end
    exists for some batches and not for others.
    """

    kind: ClassVar[str] = "convolved"
    sampling_rate: int = 16_000
    kernels: tuple[int, ...] = ()
    strides: tuple[int, ...] = ()
    squeeze: int = 1

    def length(self, samples: Int[np.ndarray, " clip"]) -> Int[np.ndarray, " clip"]:
        """How many frames a clip of so many samples has alone."""
        count = np.asarray(samples)
        for kernel, stride in zip(self.kernels, self.strides, strict=True):
            count = (count - kernel) // stride + 1
        return np.maximum(count // self.squeeze, 0)

    def valid(self, seconds: Float[np.ndarray, " clip"], frames: int) -> Bool[np.ndarray, "clip frame"]:
        """Frames that a clip of this length has alone."""
        # Resampling rounds up; the small step back forgives float arithmetic on whole numbers of samples.
        samples = np.ceil(np.asarray(seconds) * self.sampling_rate - 1e-6).astype(np.int64)
        positions = np.arange(frames)
        return _keep_one(positions < self.length(samples)[:, None], positions >= 0)


_TAPER = 1e-3
"""Seconds by which a measured stretch may be off: a window tapers off at its ends."""


@dataclass(frozen=True)
class Measured(Geometry):
    """Frames whose stretch of time was measured: which of the clip's samples reach a frame before the first attention.

    Frames repeat in a pattern (one frame, or those of a chunk that the front end takes by itself): frame
    `n · len(starts) + i` begins at `n · period + starts[i]` seconds, and ends at `n · period + stops[i]`.
    """

    kind: ClassVar[str] = "measured"
    in_time: ClassVar[bool] = True
    period: float = 0.0
    starts: tuple[float, ...] = (0.0,)
    stops: tuple[float, ...] = (0.0,)

    def __post_init__(self) -> None:
        if not 0 < len(self.starts) == len(self.stops):
            raise ValueError(f"a pattern of frames has a start and a stop each, not {self.starts} and {self.stops}")

    def times(self, frames: Int[np.ndarray, " frame"]) -> Float[np.ndarray, "frame 2"]:
        """Start and end in seconds; what would lie before the clip's start is cut off."""
        turn, place = np.divmod(np.asarray(frames) - self.special_tokens, len(self.starts))
        ends = np.array([self.starts, self.stops]).T[place] + (turn * self.period)[:, None]
        return _forget_special(np.maximum(ends, 0.0), frames, self.special_tokens)

    def valid(self, seconds: Float[np.ndarray, " clip"], frames: int) -> Bool[np.ndarray, "clip frame"]:
        """Frames that hear the clip with more than half of their stretch: the others may be padding to the model."""
        positions = np.arange(frames)
        turn, place = np.divmod(positions - self.special_tokens, len(self.starts))
        middles = (np.add(self.starts, self.stops) / 2)[place] + turn * self.period
        known = positions >= self.special_tokens
        return _keep_one(known & (middles < np.asarray(seconds)[:, None] - _TAPER), known)

    @property
    def hop(self) -> float:
        """Seconds from a frame to the next; of a pattern, the mean."""
        return self.period / len(self.starts)


@dataclass(frozen=True)
class Unplaced(Geometry):
    """Frames whose place in time could not be told: each counts, and none has seconds. `why` is the reason."""

    kind: ClassVar[str] = "unplaced"
    why: str = ""

    def valid(self, seconds: Float[np.ndarray, " clip"], frames: int) -> Bool[np.ndarray, "clip frame"]:
        """Every frame but special tokens."""
        return np.tile(np.arange(frames) >= self.special_tokens, (len(seconds), 1))


@dataclass(frozen=True)
class Grouped(Regular):
    """Frames that come several at a time, of one stretch of the clip (the queries of a Q-Former over a window)."""

    kind: ClassVar[str] = "grouped"
    group: int = 1

    def times(self, frames: Int[np.ndarray, " frame"]) -> Float[np.ndarray, "frame 2"]:
        """Start and end in seconds of each frame's stretch."""
        return super().times(np.asarray(frames) // self.group)


@dataclass(frozen=True)
class Tokens(Geometry):
    """Tokens of text, which have no place in the clip's time; all count.

    texts  what they stand for, where they are the same for every clip (a prompt's); empty where they are the clip's own
    """

    kind: ClassVar[str] = "tokens"
    texts: tuple[str, ...] = ()

    def valid(self, seconds: Float[np.ndarray, " clip"], frames: int) -> Bool[np.ndarray, "clip frame"]:
        """All of them."""
        return np.ones((len(seconds), frames), bool)

    def text(self, frame: int) -> str | None:
        """What a token stands for; None where that is the clip's own matter."""
        return self.texts[frame] if 0 <= frame < len(self.texts) else None


@dataclass(frozen=True)
class PatchGrid(Geometry):
    """Spectrogram patches, frequency-major after the special tokens (AST): special + band · columns + column."""

    kind: ClassVar[str] = "patches"
    in_time: ClassVar[bool] = True
    columns: int = 1
    hop: float = 0.1
    span: float = 0.175

    def times(self, frames: Int[np.ndarray, " frame"]) -> Float[np.ndarray, "frame 2"]:
        """Start and end in seconds of each patch's column."""
        start = ((np.asarray(frames) - self.special_tokens) % self.columns) * self.hop
        return _forget_special(np.stack([start, start + self.span], -1), frames, self.special_tokens)


@dataclass(frozen=True)
class PatchColumns(Convolved):
    """Spectrogram patches column by column (BEATs): column · bands + band, low frequencies first.

    Columns are counted as frames of convolutions are; the rest of a clip that fills no whole column has no patch.
    """

    kind: ClassVar[str] = "columns"
    bands: int = 1
    bins_per_band: int = 16

    def times(self, frames: Int[np.ndarray, " frame"]) -> Float[np.ndarray, "frame 2"]:
        """Start and end in seconds of each patch's column."""
        return super().times(np.asarray(frames) // self.bands)

    def length(self, samples: Int[np.ndarray, " clip"]) -> Int[np.ndarray, " clip"]:
        """How many patches a clip of so many samples has alone."""
        return super().length(samples) * self.bands

    def mel_bins(self, frames: Int[np.ndarray, " frame"]) -> Int[np.ndarray, "frame 2"]:
        """First mel bin of each patch, and the one after its last."""
        first = np.asarray(frames) % self.bands * self.bins_per_band
        return np.stack([first, first + self.bins_per_band], -1)


@dataclass(frozen=True)
class FoldedGrid(Geometry):
    """Swin over a spectrogram folded into a square (CLAP's HTSAT): time runs along the columns, then down the chunks.

    `window` > 0 says that the tokens are in window order (the attention of a Swin block), cyclically shifted by
    `shift` and padded to whole windows.
    """

    kind: ClassVar[str] = "folded"
    in_time: ClassVar[bool] = True
    rows: int = 1
    columns: int = 1
    chunks: int = 1
    hop: float = 0.04
    window: int = 0
    shift: int = 0

    def grid_order(self) -> Int[np.ndarray, " frame"]:
        """For each position on the token axis, its index in row-major grid order; −1 for window padding."""
        grid = np.arange(self.rows * self.columns).reshape(self.rows, self.columns)
        if not self.window:
            return grid.ravel()
        window = self.window
        grid = np.pad(grid, ((0, -self.rows % window), (0, -self.columns % window)), constant_values=-1)
        grid = np.roll(grid, (-self.shift, -self.shift), axis=(0, 1))
        high, wide = grid.shape
        return grid.reshape(high // window, window, wide // window, window).transpose(0, 2, 1, 3).ravel()

    @property
    def windows(self) -> int:
        """How many windows a clip is cut into (1 where tokens are in grid order)."""
        window = self.window
        return -(-self.rows // window) * -(-self.columns // window) if window else 1

    def times(self, frames: Int[np.ndarray, " frame"]) -> Float[np.ndarray, "frame 2"]:
        """Start and end in seconds of each token; NaN for padding."""
        cell = self.grid_order()[np.asarray(frames)]
        chunk = (cell // self.columns) * self.chunks // self.rows
        start = (chunk * self.columns + cell % self.columns) * self.hop
        times = np.stack([start, start + self.hop], -1).astype(float)
        times[cell < 0] = np.nan
        return times


_KINDS: dict[str, type[Geometry]] = {
    kind.kind: kind
    for kind in (
        Geometry,
        WholeClip,
        Regular,
        Convolved,
        Measured,
        Unplaced,
        Grouped,
        Tokens,
        PatchGrid,
        PatchColumns,
        FoldedGrid,
    )
}


def from_json(value: Mapping[str, Any]) -> Geometry:
    """Read a geometry that `Geometry.to_json` wrote. Raises ValueError for a kind this version does not know."""
    fields: dict[str, Any] = {name: tuple(item) if isinstance(item, list) else item for name, item in value.items()}
    kind = str(fields.pop("kind"))
    if kind not in _KINDS:
        raise ValueError(f"unknown frame geometry {kind!r}: this dissection was written by a newer version")
    return _KINDS[kind](**fields)


def _forget_special(
    times: Float[np.ndarray, "frame 2"], frames: Int[np.ndarray, " frame"], special: int
) -> Float[np.ndarray, "frame 2"]:
    times = times.astype(float)
    times[np.asarray(frames) < special] = np.nan
    return times


def _keep_one(
    valid: Bool[np.ndarray, "clip frame"], known: Bool[np.ndarray, " frame"]
) -> Bool[np.ndarray, "clip frame"]:
    empty = ~valid.any(1)
    if empty.any() and known.any():
        valid[empty, int(np.argmax(known))] = True
    return valid
