"""Which clips' sounds, and which units' activations over them, are kept for units: their top and bottom exemplars."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.filesize import decimal as readable

from ..audio.flac import MOST_BYTES_A_SAMPLE
from ..dissection.dissection import Dissection
from ..dissection.errors import REMEDY, DissectionError
from ..dissection.exemplar_store import ExemplarStore
from ..dissection.exemplars import Exemplar, Unit
from ..wording import counted

UnitName = Unit | tuple[str, int] | str
"""A unit: itself, its site and index, or both as "SITE:INDEX"."""
Curves = Mapping[str, tuple[int, ...]]
"""Units, ascending, by their site."""
_BYTES = 4


@dataclass(frozen=True)
class ExemplarPlan:
    """What is still to be kept.

    sounds  clips whose sound is not there yet
    curves  clip by clip, ascending, the units whose activations over it are not there yet
    """

    sounds: frozenset[int]
    curves: Mapping[int, Curves]

    @property
    def clips(self) -> list[int]:
        """The clips that something is to be kept of, ascending."""
        return list(self.curves)


def unit_pairs(widths: Mapping[str, int], units: Iterable[UnitName]) -> list[tuple[str, int]]:
    """Sites and indices of units, each once. Raises DissectionError for one that the sites do not have."""
    pairs = list(dict.fromkeys(map(_pair, [units] if isinstance(units, str | Unit) else units)))
    for site, unit in pairs:
        width = widths.get(site)
        if width is None:
            raise DissectionError(f"site {site!r} was not dissected; there are: {', '.join(widths)}")
        if not 0 <= unit < width:
            raise DissectionError(f"site {site!r} has units 0 to {width - 1}, not {unit}")
    return pairs


def _pair(unit: UnitName) -> tuple[str, int]:
    if isinstance(unit, Unit):
        return unit.site, unit.index
    site, index = unit.rpartition(":")[::2] if isinstance(unit, str) else unit
    if not site or not str(index).isdecimal():
        raise DissectionError(
            f"a unit is (site, index) or 'SITE:INDEX', for example 'blocks.0.mlp.hook_post:7': {unit!r}"
        )
    return site, int(index)


def exemplar_clips(
    dissection: Dissection, pairs: Iterable[tuple[str, int]], most: int | None
) -> dict[int, dict[str, list[int]]]:
    """Clip by clip, ascending, the units that have it among their `most` first at either end (None: all), by site.

    Raises DissectionError if the dissection knows nothing of one of the clips.
    """
    wanted: dict[int, dict[str, list[int]]] = {}
    for site, unit in pairs:
        statistics = dissection[site]
        clips = {clip for side in (statistics.top, statistics.bottom) for clip in side.clips[:most, unit].tolist()}
        for clip in clips - {-1}:
            wanted.setdefault(clip, {}).setdefault(site, []).append(unit)
    if missing := sorted(wanted.keys() - dissection.clips.keys()):
        raise DissectionError(
            f"{dissection.folder / 'clips.parquet'} is damaged (it lacks clip {missing[0]}): {REMEDY}"
        )
    return {clip: wanted[clip] for clip in sorted(wanted)}


def clips_of(exemplars: Iterable[Exemplar]) -> dict[int, dict[str, list[int]]]:
    """Clip by clip, ascending, the units whose exemplars these are, by site; nobody's exemplars are left out."""
    wanted: dict[int, dict[str, list[int]]] = {}
    for exemplar in sorted(exemplars, key=lambda each: each.clip):
        if exemplar.unit is not None:
            site, unit = exemplar.unit
            wanted.setdefault(exemplar.clip, {}).setdefault(site, []).append(unit)
    return wanted


def what_is_lacking(store: ExemplarStore, wanted: Mapping[int, Mapping[str, Iterable[int]]]) -> ExemplarPlan:
    """What of the wanted is not in a store. Raises DissectionError for a damaged file of it."""
    sounds = frozenset(wanted) - frozenset(store.clips)
    curves: dict[int, Curves] = {}
    for clip, sites in wanted.items():
        lacking = {
            site: tuple(sorted(unit for unit in units if (site, unit, clip) not in store.curves))
            for site, units in sites.items()
        }
        lacking = {site: units for site, units in lacking.items() if units}
        if lacking or clip in sounds:
            curves[clip] = lacking
    return ExemplarPlan(sounds, curves)


def disk_needed(dissection: Dissection, plan: ExemplarPlan, rate: int, window_seconds: float | None) -> str:
    """A line on what is going to be written. Raises ValueError if the disk clearly has not the room."""
    seconds = {clip: min(dissection.clips[clip].seconds, window_seconds or float("inf")) for clip in plan.curves}
    sounds = sum(MOST_BYTES_A_SAMPLE * rate * seconds[clip] for clip in plan.sounds)
    curves = sum(
        _BYTES * (len(units) + 2) * _stretches(dissection, site, seconds[clip])
        for clip, sites in plan.curves.items()
        for site, units in sites.items()
    )
    needed, target = int(sounds + curves), dissection.folder / "exemplars"
    count = sum(len(units) for sites in plan.curves.values() for units in sites.values())
    free = shutil.disk_usage(dissection.folder).free
    if needed > free:
        raise ValueError(
            f"keeping {_what(plan, count)} takes up to {readable(needed)}, and {dissection.folder} has "
            f"{readable(free)} left: take fewer units, or fewer exemplars of each (most=)"
        )
    return f"will write up to {readable(needed)} to {target}: {_what(plan, count)}"


def _what(plan: ExemplarPlan, curves: int) -> str:
    return f"{counted(len(plan.sounds), 'sound')}, {counted(curves, 'curve')} of activation"


def _stretches(dissection: Dissection, site: str, seconds: float) -> float:
    """About how many stretches of time a site's frames cut a clip into."""
    hop = getattr(dissection.geometry(site), "hop", None)
    return 1 + seconds / hop if hop else 1


def bytes_of(folder: Path) -> int:
    """How much the files of a folder take."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else 0
