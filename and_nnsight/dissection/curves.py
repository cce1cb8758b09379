"""A unit's activation over the time of a clip, and the files that hold such curves: one a clip, site by site."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32, Int64

from ..storage import DamagedFile, read_arrays, write_tensors
from .array_kind import as_tensor

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes

FORMAT_VERSION = 1
_PARTS = ("units", "start", "stop", "activation")


@dataclass(frozen=True, eq=False)
class Curve:
    """A unit's activation over the time of a clip.

    Where frames also have a place in the spectrum (the patches of AST) it is the largest of those that hear the same
    stretch of time. Frames on which the clip's own audio does not lie are left out.

    start, stop  seconds from the clip's start, in order of time; stretches may overlap. NaN where it is not known when
                 a frame is
    activation   of each stretch; NaN where none was finite
    """

    start: Float32[np.ndarray, " frame"]
    stop: Float32[np.ndarray, " frame"]
    activation: Float32[np.ndarray, " frame"]

    def __len__(self) -> int:
        return len(self.activation)

    def __repr__(self) -> str:
        if not len(self):
            return "Curve(no frames)"
        best = int(np.nanargmax(self.activation)) if np.isfinite(self.activation).any() else 0
        return (
            f"Curve({len(self)} frames, {self.start[0]:.2f} to {self.stop[-1]:.2f} s, "
            f"highest {self.activation[best]:.4g} at {self.start[best]:.2f} s)"
        )

    def plot(
        self, axes: Axes | None = None, *, moment: tuple[float | None, float | None] = (None, None), title: str = ""
    ) -> Axes:
        """Activation over seconds; over frames, where their seconds are not known. Gives matplotlib's axes.

        axes    None: new ones
        moment  a stretch in seconds that is marked

        Raises ImportError where matplotlib is not installed.
        """
        if axes is None:
            import matplotlib.pyplot as pyplot  # whose figures a notebook shows

            axes = pyplot.subplots(figsize=(8, 2.4), layout="constrained")[1]
        timed = not np.isnan(self.start).any()
        edges = np.append(self.start, self.stop[-1:]) if timed else np.arange(len(self) + 1)
        axes.stairs(self.activation, edges, color="#d9480f")
        start, end = moment
        if start is not None and end is not None:
            axes.axvspan(start, end, color="#d9480f", alpha=0.15, linewidth=0)
        axes.set(xlabel="seconds" if timed else "frame", ylabel="activation", title=title)
        return axes

    def to_pandas(self) -> pandas.DataFrame:
        """A row a stretch. Raises ImportError where pandas is not installed."""
        import pandas

        return pandas.DataFrame({"start": self.start, "stop": self.stop, "activation": self.activation})


@dataclass(frozen=True, eq=False)
class SiteCurves:
    """Curves of some units of one site on one clip; units ascending."""

    units: Int64[np.ndarray, " unit"]
    start: Float32[np.ndarray, " frame"]
    stop: Float32[np.ndarray, " frame"]
    activation: Float32[np.ndarray, "unit frame"]

    def curve(self, unit: int) -> Curve | None:
        """A unit's curve; None if it is not among them."""
        place = int(np.searchsorted(self.units, unit))
        if place == len(self.units) or self.units[place] != unit:
            return None
        return Curve(self.start, self.stop, self.activation[place])

    def joined(self, others: SiteCurves) -> SiteCurves:
        """With the curves of other units of the site on the same clip; those of the same units are the others'."""
        staying = ~np.isin(self.units, others.units)
        units = np.concatenate([self.units[staying], others.units])
        order = np.argsort(units)
        activation = np.concatenate([self.activation[staying], others.activation])[order]
        return SiteCurves(units[order], others.start, others.stop, activation)


def read_curves(path: Path) -> dict[str, SiteCurves]:
    """The curves of a clip by site; none where there is no file.

    Raises DamagedFile for a file that is not what `write_curves` wrote.
    """
    try:
        arrays, metadata = read_arrays(path)
    except FileNotFoundError:
        return {}
    if (version := metadata.get("format_version")) != str(FORMAT_VERSION):
        raise DamagedFile(f"{path} has format version {version}; this package reads version {FORMAT_VERSION}")
    sites = [name.removeprefix("units ") for name in arrays if name.startswith("units ")]
    try:
        return {site: SiteCurves(*(arrays[f"{part} {site}"] for part in _PARTS)) for site in sites}
    except KeyError as error:
        raise DamagedFile(f"{path} is damaged (it lacks {error})") from error


def write_curves(path: Path, curves: Mapping[str, SiteCurves]) -> None:
    """Write the curves of a clip, whole or not at all."""
    tensors = {
        f"{part} {site}": as_tensor(np.array(getattr(one, part), order="C"))
        for site, one in curves.items()
        for part in _PARTS
    }
    write_tensors(path, tensors, {"format_version": str(FORMAT_VERSION)})
