"""A unit's exemplars as they are shown: which clip, where in it, how much, and the activation over its time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from ..dissection.curves import Curve
from ..dissection.exemplars import Exemplar
from ..dissection.moments import Moment
from ..explain.labels.concept_lists import concept_text
from ..explain.roles import Span
from .wording import signed

_WHOLE = 0.95  # share of a clip from which on a frame tells no moment in it


@dataclass(frozen=True, eq=False)
class ExemplarView:
    """One exemplar.

    name        the clip's id and as much of its path as tells it from others
    caption     what it was described by, or the dataset's own
    value       the activation at its frame, `activation`, as it is printed beside the unit's others
    share       its distance from the unit's mean, of the first exemplar's
    start, end  of its frame, in seconds from the clip's start; None where that is not known, or is the clip itself
    token       the text of the token that its frame is; None for frames of sound
    credit      whose sound it is, and on what terms; None where that was not given
    marks       copy, silent, no evidence
    span        the stretch of the clip that can be played and is drawn (see `sounds`)
    seconds     of the whole clip
    """

    clip: int
    name: str
    label: str | None
    caption: str | None
    activation: float
    value: str
    share: float
    start: float | None
    end: float | None
    marks: tuple[str, ...]
    span: Span
    seconds: float
    token: str | None = None
    credit: str | None = None


@dataclass(frozen=True)
class SideView:
    """One end of a unit's list.

    title      what the unit does there
    exemplars  those that are shown
    stored     how many the dissection keeps
    note       why there are not more, or not all are evidence; None where there is nothing to say
    """

    title: str
    exemplars: tuple[ExemplarView, ...]
    stored: int
    note: str | None


def side_view(
    title: str, exemplars: Sequence[Exemplar], shortfall: str | None, views: Mapping[Exemplar, ExemplarView]
) -> SideView:
    """Of exemplars of which `views` are shown."""
    shown = tuple(views[each] for each in exemplars if each in views)
    if not exemplars:
        return SideView(title, (), 0, "No clip had a finite activation.")
    if not shown:
        return SideView(title, (), len(exemplars), f"No clip stands out: {shortfall}.")
    if shortfall is None:
        return SideView(title, shown, len(exemplars), None)
    telling = sum(each.telling for each in exemplars)
    return SideView(
        title, shown, len(exemplars), f"{telling} of {len(exemplars)} stored clips are evidence: {shortfall}."
    )


def shown_exemplars(exemplars: Sequence[Exemplar], most: int) -> tuple[Exemplar, ...]:
    """Those whose places were won by value; the others are there by the order of the files."""
    return tuple(each for each in exemplars if each.decided or each.copy)[:most]


def exemplar_view(
    exemplar: Exemplar,
    caption: str | None,
    name: str,
    digits: int,
    seconds: float,
    span: Span,
    credit: str | None = None,
) -> ExemplarView:
    """Of an exemplar.

    caption  that the unit was described by
    name     of its clip
    digits   behind the point of its activation
    seconds  of its clip
    credit   of its clip
    """
    start, end = _moment(exemplar, seconds)
    return ExemplarView(
        clip=exemplar.clip,
        name=name,
        label=None if exemplar.label is None else concept_text(exemplar.label),
        caption=caption or exemplar.caption,
        activation=exemplar.activation,
        value=signed(exemplar.activation, digits),
        share=exemplar.strength,
        start=start,
        end=end,
        marks=_marks(exemplar),
        span=span,
        seconds=seconds,
        token=exemplar.token,
        credit=credit,
    )


def _moment(exemplar: Exemplar, seconds: float) -> Moment:
    """When the frame is, where it is a part of the clip: pooling and class logits know of the whole only."""
    if exemplar.start is None or exemplar.end is None or exemplar.end - exemplar.start >= _WHOLE * seconds:
        return None, None
    return exemplar.start, exemplar.end


def _marks(exemplar: Exemplar) -> tuple[str, ...]:
    applying = (
        ("copy of another", exemplar.copy),
        ("silent", exemplar.silent),
        ("no evidence", not exemplar.telling and not exemplar.copy),
    )
    return tuple(name for name, applies in applying if applies)


def curve_levels(curve: Curve, opening: float, length: float, columns: int) -> Float32[np.ndarray, " column"]:
    """A curve over a stretch of its clip, in columns of equal time: the highest of what lies in each; NaN: nothing."""
    levels = np.full(columns, np.nan, np.float32)
    known = np.isfinite(curve.start) & np.isfinite(curve.stop) & np.isfinite(curve.activation)
    first = np.floor((curve.start[known] - opening) / length * columns + 1e-4).clip(0, columns).astype(int)
    last = np.ceil((curve.stop[known] - opening) / length * columns - 1e-4).clip(0, columns).astype(int)
    for start, stop, activation in zip(first, last, curve.activation[known], strict=True):
        levels[start:stop] = np.fmax(levels[start:stop], activation)
    return levels
