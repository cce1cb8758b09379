"""The report: units of a dissection on one page, in one file that asks nothing of any network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from .. import __version__
from ..dissection.dissection import Dissection
from ..explain.evaluate.verdicts import ACOUSTICS
from ..wording import counted
from .claim_view import Standing
from .drawing import ExemplarDrawing, bars_path
from .exemplar_view import ExemplarView
from .map_view import MapView
from .remarks import NO_REMARKS, Remarks
from .rendering import as_markup, content_policy, render, static_text
from .site_view import SELECTIVITY, SiteView
from .sounds import Sound
from .spectrogram import data_address
from .unit_view import UnitView

STYLES = ("card.css", "report.css")
_NAMED = ("folder", "file", "dataset", "stream")  # kinds of data whose name says something
GENERATOR = '<meta name="generator" content="and-nnsight '
"""By which a report is known."""
_BEGINNING = 2000  # bytes of a file in which that stands
SCRIPTS = ("player.js", "filters.js", "report.js")


@dataclass(frozen=True)
class ReportPage:
    """What the report's template shows.

    units     in the order in which they come first
    sounds    of their exemplars, by span
    drawings  what is drawn over each exemplar's picture
    maps      what units need of exemplars, where that was asked for
    no_maps   why there are none, or not more; None where nothing stood in the way
    excerpt   seconds to which clips are cut; None: they are whole
    remarks   what persons add
    """

    dissection: Dissection
    sites: Sequence[SiteView]
    units: Sequence[UnitView]
    sounds: Mapping[Any, Sound]
    drawings: Mapping[ExemplarView, ExemplarDrawing]
    maps: Mapping[ExemplarView, MapView]
    no_maps: str | None
    excerpt: float | None
    remarks: Remarks = NO_REMARKS
    version: str = __version__

    every_standing = tuple(Standing)
    selectivity_meaning = SELECTIVITY
    acoustics = ACOUSTICS

    @property
    def model(self) -> str:
        """What the model is called."""
        described = self.dissection.manifest.model
        return _end_of_path(described.id or described.class_name or "a model")

    @property
    def title(self) -> str:
        """Of the browser's window."""
        return f"{self.model}: what its units listen for"

    @property
    def clips(self) -> str:
        """How many were played to the model."""
        return f"{self.dissection.manifest.clips:,}"

    @property
    def about(self) -> str:
        """Which data, how many units, how they were chosen from."""
        manifest = self.dissection.manifest
        named = manifest.dataset.name is not None and manifest.dataset.kind in _NAMED
        data = f" of {_end_of_path(str(manifest.dataset.name))}" if named else ""
        units = sum(manifest.widths.values())
        return (
            f"{counted(manifest.clips, 'clip')}{data} were played to the model. Of its {counted(units, 'unit')} at "
            f"{counted(len(manifest.sites), 'site')}, {len(self.units):,} are on this page, each with the clips that "
            f"it responds to most and least. {manifest.model.reading or ''}"
        ).rstrip()

    @property
    def cut_note(self) -> str:
        """What is said of clips that are not whole."""
        if self.excerpt is None:
            return "Sounds are what the model hears: mono, at its rate, up to its window."
        return f"Of longer clips {self.excerpt:g} seconds around that frame are here, to keep this file small."

    @property
    def footer(self) -> str:
        """Where all this comes from."""
        versions = ", ".join(f"{name} {version}" for name, version in self.dissection.manifest.versions.items())
        return (
            f"Written by and-nnsight {self.version}. Dissected with {versions}."
            if versions
            else (f"Written by and-nnsight {self.version}.")
        )

    @property
    def highest(self) -> float:
        """The selectivity at the right end of every histogram."""
        return self.sites[0].highest if self.sites else 1.0

    @property
    def standings(self) -> list[Standing]:
        """Those that occur, from the best."""
        there = {unit.standing for unit in self.units}
        return [standing for standing in Standing if standing in there]

    @property
    def credits(self) -> list[tuple[str, int]]:
        """Each once, with the number of clips on the page that it is of; most clips first."""
        clips = {each.clip: each.credit for unit in self.units for each in unit.exemplars if each.credit}
        return Counter(clips.values()).most_common()

    @property
    def every_sound(self) -> Iterable[Sound]:
        """Each once."""
        of_maps = (part for view in self.maps.values() for part in (view.kept, view.removed))
        return [*self.sounds.values(), *(part for part in of_maps if part is not None)]

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {site.name: number for number, site in enumerate(self.sites)}

    def site_number(self, site: str) -> int:
        """A site's place in forward order."""
        return self._numbers[site]

    def depth(self, unit: UnitView) -> int:
        """A number that grows from the first unit of the first site to the last of the last."""
        return sum(site.units for site in self.sites[: self._numbers[unit.site]]) + unit.index

    def place(self, unit: UnitView) -> str:
        """Where a unit stands in its card's histogram, which is 96 wide."""
        return f"{96 * min(1.0, unit.selectivity / self.highest):.1f}"

    def bars(self, site: SiteView, width: float, height: float) -> str:
        """A site's histogram."""
        return bars_path(site.bars, width, height)

    def shown_of(self, site: str) -> int:
        """How many of its units are on the page."""
        return sum(unit.site == site for unit in self.units)

    def ticks(self, site: str) -> str:
        """The units of a site on this page, below its histogram, which is 384 wide."""
        places = sorted(
            {round(384 * min(1.0, unit.selectivity / self.highest), 1) for unit in self.units if unit.site == site}
        )
        return "".join(f"M{place:g} 28V32" for place in places)


def _end_of_path(name: str) -> str:
    """A name as it is; of a place on a disk, which says nothing elsewhere, the last part."""
    absolute = PurePosixPath(name).is_absolute() or PureWindowsPath(name).is_absolute()
    return PureWindowsPath(name).name or name if absolute else name


def refuse_another_file(path: Path) -> None:
    """Raise FileExistsError for a file that is there and is no report, IsADirectoryError for a folder."""
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder: name the file to write, for example {path / 'report.html'}")
    if not path.exists():
        return
    with path.open("rb") as file:
        beginning = file.read(_BEGINNING)
    if beginning and GENERATOR.encode() not in beginning:
        raise FileExistsError(
            f"{path} is there and is no report: name another file, or pass overwrite=True (--overwrite) to replace it"
        )


def page_html(page: ReportPage) -> str:
    """The whole file."""
    pictured = (sound for sound in page.every_sound if sound.image)
    images = (f".{sound.key}{{background-image:url({data_address(sound.image)})}}" for sound in pictured)
    style = "\n".join([static_text(*STYLES), *images])
    script = page_script()
    policy = content_policy(script, style)
    return render("report.html.jinja", page=page, policy=policy, style=as_markup(style), script=as_markup(script))


def page_script() -> str:
    """The page's scripts as one, which leaves no names behind. A module would not run from a file."""
    return f"(() => {{\n{static_text(*SCRIPTS)}}})();"
