"""What a notebook shows of dissections, units, cards and exemplars: HTML without scripts, each output for itself.

These are the package's views (`and_nnsight.plugins.Viewed`): the classes, which stand below, ask for them by name.
Sounds and curves are shown where they were kept; nothing is run or read again to show them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ..dissection.clip_names import clip_name, clip_names
from ..dissection.dissection import Dissection
from ..dissection.exemplar_store import ExemplarStore
from ..dissection.exemplars import Exemplar, Unit
from ..dissection.selectivity import most_selective_units
from ..explain.read.unit_card import Card
from ..explain.records.unit_selection import exemplar_span
from ..explain.roles import Span
from ..wording import agree, counted
from .claim_view import Standing
from .drawing import CurveScale, ExemplarDrawing, exemplar_drawing
from .exemplar_view import ExemplarView, exemplar_view
from .rendering import as_markup, render, static_text
from .site_view import SELECTIVITY, SiteView, site_views
from .sounds import Sound, make_sounds
from .unit_drawings import unit_drawings
from .unit_view import UnitView, UnitViews
from .wording import digits_for

EXCERPT = 3.0
"""Seconds around the moment at which a unit fires that a player holds."""
MOST_TOP, MOST_BOTTOM, MOST_BEST = 6, 3, 10


def dissection_html(dissection: Dissection) -> str:
    """What was dissected, how much of it, and the units that are most selective, with what is said of them."""
    views = _views(dissection.folder)
    best = [views.view(*unit) for unit in most_selective_units(views.dissection, MOST_BEST)]
    view = DissectionView(
        model=_model(dissection),
        about=_about(dissection),
        lines=tuple(_lines(dissection)),
        sites=site_views(views.dissection, views.standings, []),
        best=tuple(BestUnit.of(unit) for unit in best),
    )
    return rendered("notebook_dissection", view=view)


def unit_html(unit: Unit) -> str | None:
    """A unit's card; None for a unit made by hand, of which only its `repr` is known."""
    return None if unit.store is None else _card_html(unit.store.folder, unit.site, unit.index)


def card_html(card: Card) -> str | None:
    """A unit's card; None for one made by hand."""
    return unit_html(card.unit)


def exemplar_html(exemplar: Exemplar) -> str | None:
    """An exemplar with its player, spectrogram and curve; None for one made by hand."""
    if exemplar.store is None or exemplar.unit is None:
        return None
    store, dissection = exemplar.store, _views(exemplar.store.folder).dissection
    seconds = dissection.clips[exemplar.clip].seconds
    name = clip_name(exemplar, clip_names(dissection))
    span = exemplar_span(exemplar, seconds, EXCERPT)
    view = exemplar_view(exemplar, None, name, digits_for(abs(exemplar.activation)), seconds, span)
    sounds = _sounds(store, [span])
    drawing = _drawing(exemplar, view, sounds[span], dissection) if span in sounds else None
    missing = None if span in sounds else _missing([exemplar.clip], *exemplar.unit)
    return rendered("notebook_exemplar", exemplar=view, drawing=drawing, sound=sounds.get(span), missing=missing)


@dataclass(frozen=True)
class BestUnit:
    """A unit in the list of those that are most selective.

    said      of it: in words, or its first label, or the label that its top clips share
    standing  of that; None where nothing is claimed
    """

    site: str
    index: int
    selectivity: float
    said: str
    standing: Standing | None

    @classmethod
    def of(cls, unit: UnitView) -> BestUnit:
        """Of the view of a unit."""
        claim = unit.explanation or next(iter(unit.claims), None)
        if claim is not None:
            return cls(unit.site, unit.index, unit.selectivity, claim.text, claim.standing)
        common = unit.common
        said = "" if common is None else f"{common.count} of {common.of} top clips are labelled {common.label}"
        return cls(unit.site, unit.index, unit.selectivity, said, None)


@dataclass(frozen=True)
class DissectionView:
    """A dissection as it is shown.

    about  what was played to what
    lines  what else is worth knowing
    best   the most selective units
    """

    model: str
    about: str
    lines: tuple[str, ...]
    sites: tuple[SiteView, ...]
    best: tuple[BestUnit, ...]
    meaning: str = SELECTIVITY


@dataclass(frozen=True)
class CardPage:
    """What the template of a card looks up: the sounds of spans and the drawings of exemplars, and what is missing."""

    sounds: dict[Span, Sound]
    drawings: dict[ExemplarView, ExemplarDrawing]
    missing: str | None


def _card_html(folder: Path, site: str, index: int) -> str:
    view = _views(folder).view(site, index, EXCERPT)
    store = ExemplarStore(folder)
    sounds = _sounds(store, [each.span for each in view.exemplars])
    silent = [each.clip for each in view.exemplars if each.span not in sounds]
    page = CardPage(sounds, unit_drawings(store, view, sounds), _missing(silent, site, index) if silent else None)
    return rendered("notebook_unit", unit=view, page=page)


@lru_cache(maxsize=8)
def _views_of(folder: Path, written: int) -> UnitViews:
    """The views of a dissection that was written at this time: its clips and statistics do not change any more."""
    return UnitViews(Dissection.load(folder), MOST_TOP, MOST_BOTTOM)


def _views(folder: Path) -> UnitViews:
    return _views_of(folder, (folder / "manifest.json").stat().st_mtime_ns)


def _sounds(store: ExemplarStore, spans: Iterable[Span]) -> dict[Span, Sound]:
    """Of the spans whose clips were kept."""
    return make_sounds(store, [span for span in spans if store.has_sound(span.clip)])


def _drawing(exemplar: Exemplar, view: ExemplarView, sound: Sound, dissection: Dissection) -> ExemplarDrawing:
    site, unit = exemplar.unit or ("", 0)
    store = dissection.exemplars()
    curve = store.curve(site, unit, exemplar.clip) if (site, unit, exemplar.clip) in store.curves else None
    scale = CurveScale.of([] if curve is None else [curve], exemplar.activation)
    return exemplar_drawing(view, sound, curve, scale, float(dissection.arrays(site).mean[unit]))


def _missing(clips: list[int], site: str, unit: int) -> str:
    """How to have the sounds that are not there."""
    what = agree(len(clips), "this clip", f"{len(clips)} of these clips")
    return f"To hear {what}: and_nnsight.keep_exemplars(dissection, [({site!r}, {unit})])"


def _model(dissection: Dissection) -> str:
    described = dissection.manifest.model
    return described.id or described.class_name or "a model"


def _about(dissection: Dissection) -> str:
    manifest = dissection.manifest
    data = manifest.dataset.name or "data without a name"
    units = counted(sum(manifest.widths.values()), "unit")
    return f"{counted(manifest.clips, 'clip')} of {data}, {units} at {counted(len(manifest.sites), 'site')}"


def _lines(dissection: Dissection) -> Iterable[str]:
    """How exemplars were kept, which clips were not used, what is in the folder."""
    manifest = dissection.manifest
    if manifest.model.reading is not None:
        yield manifest.model.reading
    yield f"The {manifest.k} clips at either end of each unit, by the {manifest.pool} over its frames."
    aside = ((manifest.quarantined, "set aside"), (manifest.silent, "silent"), (manifest.copies, "copies"),
             (manifest.truncated, "longer than the model hears"))  # fmt: skip
    parts = [f"{count:,} {what}" for count, what in aside if count]
    if parts:
        yield f"Of the clips: {', '.join(parts)}."
    kept = len(dissection.exemplars().clips)
    yield (
        f"{counted(kept, 'sound')} {agree(kept, 'is', 'are')} kept to be heard."
        if kept
        else ("No sounds are kept to be heard yet: and_nnsight.keep_exemplars(dissection, [(site, unit), …]).")
    )


def rendered(template: str, **values: object) -> str:
    """One of the templates of notebooks, with the styles of cards."""
    return render(f"{template}.html.jinja", style=as_markup(notebook_style()), **values)


@lru_cache(maxsize=1)
def notebook_style() -> str:
    """The styles of cards, for what stands in an output of this package alone."""
    return f"@scope (.and-nnsight) {{\n{static_text('card.css', 'notebook.css').replace(':root', ':scope')}}}"
