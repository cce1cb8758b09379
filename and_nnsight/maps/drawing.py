"""A map as a picture: the clip's spectrogram, with what the mask removes faded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..plugins import PluginError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .listenable_map import ListenableMap

_DECIBELS = 70.0
_LOWEST_HZ = 50.0


def draw(listenable_map: ListenableMap, axes: Axes | None) -> Axes:
    """Draw onto axes, or new ones of a figure that no library keeps."""
    try:
        from matplotlib import colormaps
        from matplotlib.figure import Figure
    except ImportError as error:
        raise PluginError(
            "pictures of maps need matplotlib, which is not installed: pip install 'and-nnsight[look]'"
        ) from error
    if axes is None:
        axes = Figure(figsize=(6.5, 2.6), layout="constrained").add_subplot()
    seconds, hz = listenable_map.seconds, listenable_map.hz
    colours = colormaps["magma"](_levels(listenable_map))[..., :3]
    grey = colours.mean(-1, keepdims=True) * 0.35 + 0.65
    kept = listenable_map.mask[..., None]
    image = kept * colours + (1 - kept) * grey
    axes.pcolormesh(seconds, hz, image, shading="nearest", rasterized=True)
    axes.set_yscale("symlog", linthresh=1000.0)
    axes.set_ylim(_LOWEST_HZ, hz[-1])
    axes.set_yticks([200, 500, 1000, 2000, 4000], labels=["200", "500", "1k", "2k", "4k"])
    axes.set_xlabel("s")
    axes.set_ylabel("Hz")
    if listenable_map.start is not None and listenable_map.end is not None:
        axes.axvspan(listenable_map.start, listenable_map.end, color="#0072B2", alpha=0.35, linewidth=0)
    axes.set_title(
        f"{listenable_map.site}:{listenable_map.unit}: grey is removed; p {listenable_map.p:.2g}", fontsize="small"
    )
    return axes


def _levels(listenable_map: ListenableMap) -> np.ndarray:
    """The clip's spectrogram, its highest 1 and `_DECIBELS` below it 0."""
    power = listenable_map.power
    decibels = 10 * np.log10(power / max(float(power.max()), 1e-20) + 10 ** (-_DECIBELS / 10))
    return 1 + decibels / _DECIBELS
