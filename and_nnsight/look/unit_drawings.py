"""What is drawn over the pictures of a unit's exemplars, on one scale."""

from __future__ import annotations

from collections.abc import Mapping

from ..dissection.exemplar_store import ExemplarStore
from ..explain.roles import Span
from .drawing import CurveScale, ExemplarDrawing, exemplar_drawing
from .exemplar_view import ExemplarView
from .sounds import Sound
from .unit_view import UnitView


def unit_drawings(
    store: ExemplarStore, unit: UnitView, sounds: Mapping[Span, Sound]
) -> dict[ExemplarView, ExemplarDrawing]:
    """Of each exemplar of a unit that has a sound: its curve where it was kept, the frame, the unit's mean."""
    with_sound = [each for each in unit.exemplars if each.span in sounds]
    curves = {
        each: store.curve(unit.site, unit.index, each.clip)
        for each in with_sound
        if (unit.site, unit.index, each.clip) in store.curves
    }
    peak = max((each.activation for each in unit.exemplars), default=0.0)
    scale = CurveScale.of(list(curves.values()), peak)
    return {each: exemplar_drawing(each, sounds[each.span], curves.get(each), scale, unit.mean) for each in with_sound}
