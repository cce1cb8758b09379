"""delphi's explanations, into the tables of a dissection that hold our own."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from ...dissection.dissection import Dissection
from ...dissection.errors import DissectionError
from ...explain.describe.concepts import find_concepts
from ...explain.records.description_rows import CalibratedRow, SummaryRow
from ...explain.records.tables import Table
from ...storage import json_hash, undamaged
from ...wording import counted
from .layout import explanations_folder, module_name

_MARK = "_latent"
_FAILED = ("Explanation could not be parsed.", "No explanation found")  # what delphi writes where it has none
_LOWLY = "lowly: delphi says nothing of the clips that a unit responds least to"


@dataclass(frozen=True)
class ImportedExplanations:
    """What was read.

    units   that have an explanation now
    failed  units of which delphi says that it has none
    """

    units: int
    failed: int

    def __str__(self) -> str:
        failed = f"; of {counted(self.failed, 'unit')} delphi has none" if self.failed else ""
        return f"{counted(self.units, 'explanation')} of delphi{failed}"


def import_explanations(dissection: Dissection, folder: str | Path) -> ImportedExplanations:
    """Take delphi's explanations for those of a dissection, so that they are shown, searched, scored and exported.

    They go into the tables `summaries` and `calibrated`, as they are (nothing is calibrated, for want of a summary of
    the lowly clips), and their words into `concepts`. Explanations of other settings are put aside, as by `explain`:
    units that delphi does not speak of keep theirs, and the same `explain` brings them back.

    folder  of a run of delphi over what `export_delphi` wrote: it has a folder `explanations`, or is it

    Raises DissectionError where there are none, for a file that is damaged, and for one of a unit that is not there.
    """
    rows = [_summary(*each) for each in _read(dissection, Path(folder).expanduser())]
    settings = {"explainer": "delphi", "explanations": json_hash([row.columns() for row in rows])}
    with Table(dissection, SummaryRow, settings) as summaries:
        summaries.add(rows)
    with Table(dissection, CalibratedRow, {"summaries": settings}) as calibrated:
        calibrated.add(_as_it_is(row) for row in rows)
    find_concepts(dissection, progress=False)
    units = sum(row.highly is not None for row in rows)
    return ImportedExplanations(units, len(rows) - units)


def _read(dissection: Dissection, folder: Path) -> list[tuple[str, int, str]]:
    """Site, unit and text of each explanation, in the order of sites and units."""
    inner = explanations_folder(folder)
    files = sorted((inner if inner.is_dir() else folder).glob(f"*{_MARK}*.txt"))
    if not files:
        raise DissectionError(f"{folder} has no explanation of delphi's (explanations/MODULE{_MARK}INDEX.txt)")
    sites = {module_name(site): site for site in dissection.sites}
    widths, order = dissection.widths(), {site: place for place, site in enumerate(dissection.sites)}
    read = []
    for path in files:
        module, _, index = path.stem.rpartition(_MARK)
        site = sites.get(module)
        if site is None or not index.isdecimal() or int(index) >= widths[site]:
            raise DissectionError(
                f"{path} is of no unit of {dissection.folder}, whose sites are {', '.join(sites)}: explanations of "
                "another dissection?"
            )
        read.append((site, int(index), _text(path)))
    return sorted(read, key=lambda each: (order[each[0]], each[1]))


def _text(path: Path) -> str:
    with undamaged(path, "have delphi explain that unit again", DissectionError):
        text = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(text, str):
            raise ValueError(f"it holds {type(text).__name__}, not a text")
    return " ".join(text.split())


def _summary(site: str, unit: int, text: str) -> SummaryRow:
    if not text or text in _FAILED:
        return SummaryRow(site, unit, failure=f"highly: {text or 'delphi wrote an empty explanation'}; {_LOWLY}")
    return SummaryRow(site, unit, highly=text, failure=_LOWLY)


def _as_it_is(row: SummaryRow) -> CalibratedRow:
    if row.highly is None:
        return CalibratedRow(row.site, row.unit, failure=row.failure)
    return CalibratedRow(row.site, row.unit, calibrated=row.highly, kept=[row.highly], dropped=[], failure=row.failure)
