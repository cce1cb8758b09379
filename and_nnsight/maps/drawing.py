"""A map as a picture: the clip's spectrogram, with what the mask removes faded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Float32

from ..plugins import PluginError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_DECIBELS = 70.0
_LOWEST_HZ = 50.0


def draw(
    axes: Axes | None,
    power: Float32[np.ndarray, "bin frame"],
    mask: Float32[np.ndarray, "bin frame"],
    seconds: Float[np.ndarray, " frame"],
    hz: Float[np.ndarray, " bin"],
    moment: tuple[float | None, float | None],
) -> Axes:
    """Draw onto axes, or new ones of a figure that no library keeps; the moment is a stretch in seconds.

    Raises PluginError, which says what to install, where there is no matplotlib.
    """
    try:
        from matplotlib import colormaps
        from matplotlib.figure import Figure
    except ImportError as error:
        raise PluginError(
            "pictures of maps need matplotlib, which is not installed: pip install 'and-nnsight[look]'"
        ) from error
    if axes is None:
        axes = Figure(figsize=(6.5, 2.6), layout="constrained").add_subplot()
    colours = colormaps["magma"](_levels(power))[..., :3]
    grey = colours.mean(-1, keepdims=True) * 0.35 + 0.65
    kept = mask[..., None].clip(0, 1)
    axes.pcolormesh(seconds, hz, kept * colours + (1 - kept) * grey, shading="nearest", rasterized=True)
    axes.set_yscale("symlog", linthresh=1000.0)
    axes.set_ylim(_LOWEST_HZ, hz[-1])
    ticks = {200: "200", 500: "500", 1000: "1k", 2000: "2k", 4000: "4k", 8000: "8k"}
    axes.set_yticks(list(ticks), labels=list(ticks.values()))
    axes.set_ylim(_LOWEST_HZ, hz[-1])
    axes.set(xlabel="seconds", ylabel="Hz")
    start, end = moment
    if start is not None and end is not None:
        axes.axvspan(start, end, color="#0072B2", alpha=0.35, linewidth=0)
    return axes


def _levels(power: Float32[np.ndarray, "bin frame"]) -> Float[np.ndarray, "bin frame"]:
    """A spectrogram, its highest 1 and `_DECIBELS` below it 0."""
    decibels = 10 * np.log10(power / max(float(power.max()), 1e-20) + 10 ** (-_DECIBELS / 10))
    return 1 + decibels / _DECIBELS
