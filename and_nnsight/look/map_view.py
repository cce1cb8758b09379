"""What a unit needs of an exemplar, as a page shows it: the part to hear, the rest, a picture, how faithful that is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median

from ..audio.flac import flac_of
from ..dissection.dissection import Dissection
from ..explain.records.unit_selection import exemplar_span
from ..maps.exemplar_maps import ExemplarMaps
from ..maps.listenable_map import ListenableMap
from .exemplar_view import ExemplarView
from .sounds import Sound, sound_of, stretch_of
from .spectrogram import part_png
from .unit_view import UnitView
from .wording import digits_for, percent, signed

_ENOUGH = 0.5  # of the unit's answer to the clip
_CHANCE = 0.05
_OF_AN_IMAGE = 4500


@dataclass(frozen=True)
class MapView:
    """A map of an exemplar, or why there is none.

    text     how faithful it is, or the reason
    kept     the part that the unit needs, with the clip's picture in which the rest is faded; None: there is no map
    removed  the rest
    """

    text: str
    kept: Sound | None = None
    removed: Sound | None = None


def map_views(maps: ExemplarMaps, units: Iterable[UnitView]) -> dict[ExemplarView, MapView]:
    """Of the exemplars of these units that have a map, or a reason why not."""
    made = {(each.unit, each.clip): each for each in (*maps.maps, *maps.reasons)}
    views: dict[ExemplarView, MapView] = {}
    for unit in units:
        for shown in unit.top.exemplars:
            exemplar = made.get(((unit.site, unit.index), shown.clip))
            if exemplar in maps.maps:
                views[shown] = _view(maps.maps[exemplar], shown, len(views))
            elif exemplar is not None:
                views[shown] = MapView(maps.reasons[exemplar])
    return views


def _view(made: ListenableMap, exemplar: ExemplarView, number: int) -> MapView:
    span, rate = exemplar.span, made.sampling_rate
    image = part_png(stretch_of(span, made.original, rate), stretch_of(span, made.kept, rate), rate)
    kept = sound_of(f"k{number}", span, made.kept, rate, image)
    return MapView(faithfulness(made), kept, sound_of(f"r{number}", span, made.removed, rate))


class MapSizes:
    """How many bytes the maps of a page take, with excerpts of any length."""

    def __init__(self, dissection: Dissection, maps: ExemplarMaps) -> None:
        self._seconds = {each: dissection.clips[each.clip].seconds for each in maps.maps}
        self._sizes = {
            each: sum(len(flac_of(part, made.sampling_rate)) for part in (made.kept, made.removed))
            for each, made in maps.maps.items()
        }

    def __call__(self, excerpt: float | None) -> float:
        """With clips that are cut to so many seconds; None: whole."""
        total = 0.0
        for exemplar, size in self._sizes.items():
            seconds = self._seconds[exemplar]
            span = exemplar_span(exemplar, seconds, excerpt)
            share = 1.0 if span.start is None or span.end is None else (span.end - span.start) / seconds
            total += share * size + _OF_AN_IMAGE
        return total


def faithfulness(made: ListenableMap) -> str:
    """In a sentence: what the unit makes of the kept part, of the rest, of silence, and of masks that lie elsewhere."""
    activations = made.activations
    digits = digits_for(max(abs(activations.original), abs(activations.kept)))
    original, kept, removed, silence = (
        signed(each, digits)
        for each in (activations.original, activations.kept, activations.removed, activations.silence)
    )
    elsewhere = ""
    if activations.moved:
        middle = signed(median(activations.moved), digits)
        elsewhere = f", and {middle} on what the same mask keeps in other places (p\N{NO-BREAK SPACE}{made.p:.2f})"
    return (
        f"{_lead(made)}: its activation is {original} on the clip, {kept} on the part that is kept "
        f"({percent(made.area)} of the spectrogram), {removed} on the rest, {silence} on silence{elsewhere}."
    )


def _lead(made: ListenableMap) -> str:
    """What the numbers come to."""
    activations = made.activations
    if activations.share(activations.kept) < _ENOUGH:
        return "The kept part is not enough for it"
    if activations.share(activations.removed) >= _ENOUGH:
        return "The rest excites it, too"
    if not activations.moved:
        return "The kept part is enough for it, but so much is kept that there is nothing to compare it with"
    if made.p > _CHANCE:
        return "Other parts may do as well"
    return "The kept part is enough for it, and the rest is not"
