"""The places in the lists of all units, as a table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

from ..dissection.decimals import Single, shortest_list
from ..dissection.dissection import Dissection
from ..dissection.moments import FrameMoments, frame_text
from ..dissection.rows import Rows
from ..dissection.table_row import TableRow
from ..explain.records.unit_selection import chosen_units


@dataclass(frozen=True)
class ExemplarRow(TableRow):
    """A clip in the list of a unit, in a row of the table `exemplars`.

    side        top (most) or bottom (least); `rank` 0 is the most extreme
    activation  pooled, of the unit in this clip
    evidence    whether it tells what the unit responds to (see `and_nnsight.dissection.evidence`)
    start, end  seconds from the clip's start between which the unit fires; None where that is unknown
    token       the text of the token at which it fires; None where frames are sound
    """

    table: ClassVar[str] = "exemplars"
    key: ClassVar[tuple[str, ...]] = ("site", "unit", "side", "rank")

    site: str
    unit: int
    side: str
    rank: int
    clip: int
    activation: Single
    evidence: bool
    start: float | None
    end: float | None
    path: str | None
    label: str | None
    caption: str | None
    token: str | None = None


def exemplar_table(dissection: Dissection, sites: str | Iterable[str] | None = None) -> Rows[ExemplarRow]:
    """Every place of every unit of the sites (names or globs; None: all), in forward order."""
    names = dict.fromkeys(site for site, _ in chosen_units(dissection, sites))
    return Rows((row for site in names for row in _of_site(dissection, site)), ExemplarRow)


def _of_site(dissection: Dissection, site: str) -> Iterator[ExemplarRow]:
    sides, geometry = [], dissection.geometry(site)
    for side in ("top", "bottom"):
        evidence = dissection.evidence_arrays(site, side)
        ranked = evidence.ranked
        moments = FrameMoments(geometry, ranked.frames)
        arrays = (ranked.clips, ranked.values, evidence.telling, ranked.frames)
        sides.append((side, moments, [shortest_list(array.T) for array in arrays]))
    for unit in range(dissection.widths()[site]):
        for side, moments, of_units in sides:
            places = zip(*(values[unit] for values in of_units), strict=True)
            for rank, (clip, value, telling, frame) in enumerate(places):
                if clip >= 0:
                    of_clip = dissection.clips[clip]
                    moment = moments.moment(frame, of_clip)
                    token = frame_text(geometry, of_clip.tokens, frame)
                    about = of_clip.path, of_clip.label, of_clip.caption, token
                    place = clip, value, telling, moment[0], moment[1]
                    yield ExemplarRow(site, unit, side, rank, *place, *about)
