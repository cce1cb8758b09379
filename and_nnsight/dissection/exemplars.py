"""A unit and its exemplars, one by one, for whoever shows them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32

from ..plugins import Viewed
from ..wording import counted
from .curves import Curve
from .errors import DissectionError
from .evidence import WEAKEST
from .exemplar_store import ExemplarStore

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Exemplar(Viewed):
    """One clip of a unit's top or bottom: what it is, how much the unit said, and where in the clip.

    start, end  seconds from the clip's start; None where the frame's place in time is unknown
    decided     won by value, not by the order of the files, if all stored exemplars are looked at
    strength    distance from the unit's mean as a share of the first exemplar's
    copy        its samples are those of an earlier exemplar
    silent      there is nothing to be heard in it
    token       the text of the token that the frame is; None where the frame is sound
    unit        the site and the index of the unit whose exemplar it is; None where it is nobody's
    store       where its sound and the unit's activation over it are, if they were kept
    """

    clip: int
    path: str | None
    label: str | None
    caption: str | None
    activation: float
    frame: int
    start: float | None
    end: float | None
    decided: bool = True
    strength: float = 1.0
    copy: bool = False
    silent: bool = False
    token: str | None = None
    unit: tuple[str, int] | None = field(default=None, compare=False)
    store: ExemplarStore | None = field(default=None, compare=False)

    @property
    def telling(self) -> bool:
        """Whether it is evidence of what the unit responds to: decided, strong, and no copy of another."""
        return self.decided and not self.copy and self.strength >= WEAKEST

    def audio(self) -> tuple[Float32[np.ndarray, " sample"], int]:
        """The clip's samples, mono, as the model hears them, and their rate in Hz.

        Raises DissectionError, saying how to have it, if it was not kept.
        """
        return _stored(self.store).audio(self.clip)

    def curve(self) -> Curve:
        """The unit's activation over the time of the clip. Raises DissectionError, saying how, if it was not kept."""
        store = _stored(self.store)
        site, unit = self.unit or ("", -1)
        return store.curve(site, unit, self.clip)

    def plot(self, axes: Axes | None = None) -> Axes:
        """The unit's activation over the time of the clip, its frame marked; matplotlib's axes, new ones for None.

        Raises DissectionError, saying how to have it, if the curve was not kept; ImportError without matplotlib.
        """
        return self.curve().plot(axes, moment=(self.start, self.end), title=f"clip {self.clip}")

    def __repr__(self) -> str:
        what = self.label or self.path or "no label"
        moment = "" if self.start is None else f" at {self.start:.2f} s"
        moment += "" if self.token is None else f" at the token {self.token!r}"
        return f"Exemplar(clip {self.clip}, {what[-60:]!r}: {self.activation:.4g}{moment})"


@dataclass(frozen=True)
class Unit(Viewed):
    """One unit of a site with its exemplars, best first.

    top_shortfall, bottom_shortfall  why not all exemplars are evidence, in words; None where all are
    store    where the sounds of its exemplars and its activations over them are, if they were kept
    """

    site: str
    index: int
    top: tuple[Exemplar, ...]
    bottom: tuple[Exemplar, ...]
    mean: float
    variance: float
    active: float
    top_shortfall: str | None = None
    bottom_shortfall: str | None = None
    store: ExemplarStore | None = field(default=None, compare=False)

    def curve(self, clip: int) -> Curve:
        """Its activation over the time of a clip. Raises DissectionError, saying how to have it, if it was not kept."""
        return _stored(self.store).curve(self.site, self.index, clip)

    def plot(self, axes: Axes | None = None) -> Axes:
        """Its activation over the time of its first exemplar; matplotlib's axes, new ones for None.

        Raises DissectionError, saying how to have it, if there is none or its curve was not kept; ImportError without
        matplotlib.
        """
        if not self.top:
            raise DissectionError(f"unit {self.index} of {self.site!r} has no exemplar: it was finite on no clip")
        return self.top[0].plot(axes)

    def to_pandas(self) -> pandas.DataFrame:
        """Its exemplars, a row each, the top ones first. Raises ImportError where pandas is not installed."""
        import pandas

        names = [name for name in Exemplar.__dataclass_fields__ if name not in ("unit", "store")]
        sides = [(side, rank, one) for side in ("top", "bottom") for rank, one in enumerate(getattr(self, side))]
        rows = [
            {"side": side, "rank": rank} | {name: getattr(one, name) for name in names} for side, rank, one in sides
        ]
        return pandas.DataFrame(rows, columns=["side", "rank", *names])

    def __repr__(self) -> str:
        first = "" if not self.top else f", the first {self.top[0]!r}"
        return (
            f"Unit({self.site!r}, {self.index}: mean {self.mean:.4g}, above zero on {self.active:.1%} of the clips; "
            f"{counted(len(self.top), 'top clip')} and {counted(len(self.bottom), 'bottom clip')}{first})"
        )


def _stored(store: ExemplarStore | None) -> ExemplarStore:
    if store is None:
        raise DissectionError("it was made by hand, and is of no dissection whose exemplars could have been kept")
    return store
