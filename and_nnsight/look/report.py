"""Write a report: choose units, see to their sounds and curves, and put all of it into one HTML file."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from rich.filesize import decimal as readable

from ..dissection.dissection import Dissection
from ..dissection.errors import DissectionError
from ..dissection.exemplars import Exemplar
from ..dissection.selectivity import most_selective_units
from ..explain.read.search import search as search_units
from ..explain.records.unit_selection import exemplar_span
from ..explain.roles import Span
from ..maps.exemplar_maps import ExemplarMaps, exemplar_maps
from ..plugins import require
from ..run.exemplar_plan import UnitName, clips_of, unit_pairs
from ..run.exemplars import keep_clips
from ..run.options import RunOptions
from ..storage import make_folder, written_whole
from ..wording import counted
from .exemplar_view import shown_exemplars
from .map_view import MapSizes, map_views
from .remarks import Remarks
from .report_page import ReportPage, page_html, refuse_another_file
from .site_view import site_views
from .sounds import fitting_excerpt, make_sounds
from .unit_drawings import unit_drawings
from .unit_view import MOST_TOP, UnitViews

BEST = 100
MOST_MEGABYTES = 25.0
_OF_A_UNIT = 22_000  # bytes of a card's own HTML, about


@dataclass(frozen=True)
class Report:
    """A report that was written.

    units    that are in it, in its order
    sounds   stretches of clips that it plays
    bytes    of the file
    excerpt  seconds around moments to which clips were cut; None: they are whole
    silent   clips that are shown without their sound, since they could not be read again
    maps     units that are shown with what they hear
    no_maps  why that could not be made of any unit, or not of more; None where nothing stood in the way
    """

    path: Path
    units: tuple[tuple[str, int], ...]
    sounds: int
    bytes: int
    excerpt: float | None
    silent: tuple[int, ...]
    maps: int = 0
    no_maps: str | None = None

    def __repr__(self) -> str:
        size = f"{counted(len(self.units), 'unit')}, {counted(self.sounds, 'sound')}, {readable(self.bytes)}"
        return f"Report({str(self.path)!r}: {size})"


def write_report(
    dissection: Dissection,
    out: str | Path,
    units: Iterable[UnitName] | None = None,
    *,
    best: int = BEST,
    search: str | None = None,
    model: Any = None,
    data: Any = None,
    most_megabytes: float = MOST_MEGABYTES,
    maps: int = 0,
    note: str | None = None,
    notes: Mapping[UnitName, str] | None = None,
    credits: Mapping[int, str] | None = None,
    overwrite: bool = False,
    device: str | torch.device | None = None,
    batch_size: int = 8,
    progress: bool = True,
) -> Report:
    """Write units with their sounds, pictures and words to one HTML file, which opens without a network.

    Sounds and activations over time that the dissection's folder does not hold yet are made and kept there (see
    `keep_exemplars`): of the clips that are shown.

    out             the file; a report that is there is replaced
    units           those that are shown: (site, index), "SITE:INDEX", or Unit; None: the most selective ones, taking
                    turns with others that answer to the same clips (see `most_selective_units`)
    best            how many, where `units` is None
    search          a text: the units that what is said of them fits best, where `units` is None (see `search`)
    model, data     what was dissected; None: what the dissection names, opened again
    most_megabytes  of the file: long clips are cut to the moments at which units fire where they would take more
    maps            so many of the units, from the first, are shown with what they hear of the best clip that is
                    evidence (see `hear`): the model runs some seconds for each. They are kept in the dissection's
                    folder as well; what cannot be made is said on the page, and in `no_maps`
    note            what is said of the page at its top, as text: paragraphs, with an empty line between them
    notes           what you say of units, on their cards, by unit
    credits         whose sounds clips are and on what terms, by clip id: at each clip, and once in a list
    overwrite       replace `out` whatever it is

    Raises DissectionError for units that do not exist, where there is no unit to show, and where sounds are missing
    and cannot be made; ValueError for numbers that make no sense, and FileExistsError for a file that is no report;
    PluginError where the extra `look` is not installed.
    """
    for module in ("jinja2", "PIL"):
        require({module: "and-nnsight[look]"})
    out = Path(out).expanduser()
    _check_numbers(most_megabytes, maps)
    if not overwrite:
        refuse_another_file(out)
    chosen = _chosen(dissection, units, best, search)
    said = Remarks.of(dissection.widths(), note, notes, credits)
    views = UnitViews(dissection, remarks=said)
    shown = {unit: views.shown(*unit) for unit in chosen}
    options = RunOptions(device, batch_size=batch_size, progress=progress)
    keep_clips(dissection, clips_of(each for of_unit in shown.values() for each in of_unit), model, data, options)
    there = set(dissection.exemplars().clips)
    made = exemplar_maps(dissection, _best_of_each(dissection, chosen if maps else (), there)[:maps], model, options)
    page = replace(_page(dissection, views, shown, made, most_megabytes), remarks=said)
    content = page_html(page).encode("utf-8", "replace")
    make_folder(out.parent)
    with written_whole(out) as temporary:
        temporary.write_bytes(content)
    silent = {each.clip for of_unit in shown.values() for each in of_unit} - there
    return Report(
        out, tuple(chosen), len(page.sounds), len(content), page.excerpt, tuple(sorted(silent)), len(made.maps),
        made.problem,
    )  # fmt: skip


def _check_numbers(most_megabytes: float, maps: int) -> None:
    """Raise ValueError for numbers that make no sense."""
    if most_megabytes <= 0:
        raise ValueError(f"most_megabytes must be above 0, it is {most_megabytes}")
    if maps < 0:
        raise ValueError(f"maps must be at least 0, it is {maps}")


def _best_of_each(dissection: Dissection, units: Iterable[tuple[str, int]], there: Collection[int]) -> list[Exemplar]:
    """Of each unit the clip that it responds to most of those that are evidence and whose sound is there, if any is."""
    tops = (shown_exemplars(dissection.unit(*unit).top, MOST_TOP) for unit in units)
    telling = ([each for each in top if each.telling and each.clip in there] for top in tops)
    return [top[0] for top in telling if top]


def _page(
    dissection: Dissection,
    views: UnitViews,
    shown: Mapping[tuple[str, int], Sequence[Exemplar]],
    maps: ExemplarMaps,
    most_megabytes: float,
) -> ReportPage:
    """What is on the page of units with these exemplars, whose sounds are in the store or nowhere."""
    store = dissection.exemplars()
    there = set(store.clips)
    exemplars = [each for of_unit in shown.values() for each in of_unit if each.clip in there]
    lengths = {clip: row.seconds for clip, row in dissection.clips.items()}

    def spans(excerpt: float | None) -> list[Span]:
        return [exemplar_span(each, lengths[each.clip], excerpt) for each in exemplars]

    most_bytes = most_megabytes * 1e6 - _OF_A_UNIT * len(shown)
    excerpt = fitting_excerpt(store, spans, most_bytes, MapSizes(dissection, maps))
    sounds = make_sounds(store, spans(excerpt))
    units = [views.view(*unit, excerpt) for unit in shown]
    drawings = {each: drawn for view in units for each, drawn in unit_drawings(store, view, sounds).items()}
    explained = [(view.site, view.explanation.standing) for view in units if view.explanation is not None]
    sites = site_views(dissection, views.standings, explained)
    return ReportPage(dissection, sites, units, sounds, drawings, map_views(maps, units), maps.problem, excerpt)


def _chosen(
    dissection: Dissection, units: Iterable[UnitName] | None, best: int, search: str | None
) -> list[tuple[str, int]]:
    """The units of a report. Raises DissectionError where there is none."""
    if units is not None:
        chosen = unit_pairs(dissection.widths(), units)
    elif best < 1:
        raise ValueError(f"best must be at least 1, it is {best}")
    elif search is not None:
        chosen = [(match.site, match.unit) for match in search_units(dissection, search, most=best)]
        if not chosen:
            raise DissectionError(f"no unit's explanation or label has anything of {search!r}: search for another text")
    else:
        chosen = most_selective_units(dissection, best)
    if not chosen:
        raise DissectionError("there is no unit to show: none has a clip that is evidence; name some (units=, --units)")
    return chosen
