"""A clip's mel spectrogram as a small image: what a page shows beside its sound."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from functools import cache
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float32, UInt8

if TYPE_CHECKING:
    from PIL.Image import Image

BANDS = 64
COLUMNS = 200
HIGHEST = 8000.0
"""Hertz above which nothing is drawn: what most models hear."""

_LOWEST = 40.0
_DECIBELS = 70.0  # from the loudest point of a clip down to white
_SILENCE = 1e-9  # power below which a clip is drawn white whatever its loudest point is
_WINDOW = 0.032  # seconds
_KEPT_STEPS = (0.0, 1 / 3, 2 / 3, 1.0)
_FADED = 0.3  # of the depth that is left to what is removed
_PADDING = 0.128  # seconds that a window is padded to: 64 mel bands are narrower than what a bare window tells apart

# "devon" of Fabio Crameri's perceptually even colour maps (https://doi.org/10.5281/zenodo.1243862, MIT), from its
# light end, in 32 even steps: silence is paper.
_DEVON = (
    "ffffff f8f8fe f2f0fc eae8fb e3e1f9 dddaf8 d6d3f7 cfcbf5 c9c4f4 c2bdf3 bcb6f1 b5aff0 "
    "aca7ed a2a0ea 9599e5 8692e0 758ad9 6583d2 557cca 4774c0 3b6db4 3367a9 2e619d 295a92 "
    "275287 27487c 284073 28396b 293164 2a295b 2b2154 2c1a4c"
)
COLOURS = tuple(bytes.fromhex(colour) for colour in _DEVON.split())


def spectrogram_png(waveform: Float32[np.ndarray, " sample"], rate: int, columns: int = COLUMNS) -> bytes:
    """A PNG of `BANDS` mel bands, low ones below, by at most so many columns of equal time, some 2 kB.

    waveform  mono; samples that are not finite count as silence
    rate      samples a second

    Colours go down 70 dB from the loudest point of the clip, so that clips of any loudness can be read; how loud they
    are does not show. Raises ValueError for a clip without samples.
    """
    return _png(spectrogram_levels(waveform, rate, columns), COLOURS)


def part_png(
    waveform: Float32[np.ndarray, " sample"], part: Float32[np.ndarray, " sample"], rate: int, columns: int = COLUMNS
) -> bytes:
    """The same picture of a clip of which a part is kept: what is not in the part is faded. Some 4 kB.

    part  of the clip, as long as it
    """
    levels = spectrogram_levels(waveform, rate, columns)
    powers = [_pooled(_mel_power(each, rate, columns), columns) for each in (part, waveform)]
    kept = (powers[0] / powers[1].clamp(min=_SILENCE)).clamp(0, 1).sqrt()  # of the amplitude, as the mask has it
    steps = (kept * (len(_KEPT_STEPS) - 1)).round().to(torch.uint8).numpy()
    return _png(levels + len(COLOURS) * steps, tuple(_faded(each, step) for step in _KEPT_STEPS for each in COLOURS))


def _faded(colour: bytes, kept: float) -> bytes:
    """A colour of which so much is kept: the rest goes to a light grey of the same depth."""
    grey = 255 - _FADED * (255 - sum(colour) / 3)
    return bytes(round(kept * each + (1 - kept) * grey) for each in colour)


def _png(indices: UInt8[np.ndarray, "band column"], colours: Sequence[bytes]) -> bytes:
    from PIL import Image

    image: Image = Image.fromarray(np.ascontiguousarray(indices[::-1]), "P")
    image.putpalette(b"".join(colours))
    file = BytesIO()
    image.save(file, "PNG", optimize=True)
    return file.getvalue()


def data_address(png: bytes) -> str:
    """A PNG as an address that a page can show without asking for it."""
    return f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"


def spectrogram_levels(
    waveform: Float32[np.ndarray, " sample"], rate: int, columns: int = COLUMNS
) -> UInt8[np.ndarray, "band column"]:
    """Loudness by mel band, the lowest first, and time: an index of `COLOURS`. A column is its loudest frame."""
    if waveform.size == 0:
        raise ValueError("a clip without samples has no spectrogram")
    power = _pooled(_mel_power(waveform, rate, columns), columns)
    loudest = float(power.max())
    if loudest < _SILENCE:
        return np.zeros(tuple(power.shape), np.uint8)
    decibels = 10 * torch.log10(power.clamp(min=loudest * 1e-12) / loudest)
    shares = (1 + decibels / _DECIBELS).clamp(0, 1)
    return (shares * (len(COLOURS) - 1)).round().to(torch.uint8).numpy()


def _pooled(power: Float32[torch.Tensor, "band frame"], columns: int) -> Float32[torch.Tensor, "band column"]:
    return torch.nn.functional.adaptive_max_pool1d(power, min(columns, power.shape[-1]))


def _mel_power(samples: Float32[np.ndarray, " sample"], rate: int, columns: int) -> Float32[torch.Tensor, "band frame"]:
    """By mel band and frame, of which there are at least so many as columns where the clip is long enough."""
    waveform = torch.from_numpy(np.nan_to_num(samples, posinf=0.0, neginf=0.0))
    window = max(16, round(_WINDOW * rate))
    points = 2 ** int(np.ceil(np.log2(max(_PADDING * rate, 1024))))
    hop = int(np.clip(len(waveform) / columns, 1, window / 2))
    frames = torch.stft(
        torch.nn.functional.pad(waveform, (points // 2, points // 2)),
        points, hop, window, torch.hann_window(window), center=False, return_complex=True,
    )  # fmt: skip
    power = torch.view_as_real(frames).square().sum(-1) / (window / 4) ** 2
    return _mel_filters(points // 2 + 1, rate) @ power


@cache
def _mel_filters(bins: int, rate: int) -> Float32[torch.Tensor, "band bin"]:
    from torchaudio.functional import melscale_fbanks

    highest = min(HIGHEST, rate / 2)
    return melscale_fbanks(bins, min(_LOWEST, highest / 10), highest, BANDS, rate).T
