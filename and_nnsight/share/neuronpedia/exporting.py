"""Units of a dissection for Neuronpedia: upload batches, and the files of its exports."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count, islice
from pathlib import Path
from typing import Any

import torch

from ...dissection.dissection import Dissection
from ...dissection.errors import DissectionError
from ...dissection.exemplars import Exemplar
from ...dissection.selectivity import most_selective_units
from ...explain.records.unit_selection import matching_sites
from ...run.exemplar_plan import UnitName, clips_of, unit_pairs
from ...run.exemplars import keep_clips
from ...run.options import RunOptions
from ...storage import make_folder, written_whole
from ...wording import counted
from ..new_folder import filled_whole, refuse_files
from .checks import MOST_FEATURES, check_row, check_upload
from .features import Feature, Features, exported_exemplars
from .names import SourceName, model_name, source_names
from .rows import ExportRows, Row, upload_batch

BEST = 128
_NO_UNIT = "there is no unit to export: none in a block has a clip that tells what it responds to"
At = tuple[str, int]


@dataclass(frozen=True)
class NeuronpediaExport:
    """What was written for Neuronpedia.

    model    its id there
    sources  ids of its sources, a site each
    batches  the files of uploads
    units    that are in them
    left_out units without a clip whose place was won by value, or whose clips could not be read again
    """

    folder: Path
    model: str
    sources: tuple[str, ...]
    batches: tuple[Path, ...]
    units: tuple[At, ...]
    left_out: tuple[At, ...]

    def __str__(self) -> str:
        what = f"{counted(len(self.units), 'unit')} of {self.model} in {', '.join(self.sources)}"
        out = f"; {counted(len(self.left_out), 'unit')} left out: no clip tells them" if self.left_out else ""
        return f"{what}, {counted(len(self.batches), 'upload batch', 'upload batches')}{out}"


def export_neuronpedia(
    dissection: Dissection,
    out: str | Path,
    units: Iterable[UnitName] | None = None,
    *,
    sites: str | Iterable[str] | None = None,
    best: int = BEST,
    most: int | None = None,
    model: Any = None,
    data: Any = None,
    model_id: str | None = None,
    device: str | torch.device | None = None,
    batch_size: int = 8,
    progress: bool = True,
) -> NeuronpediaExport:
    """Write units as Neuronpedia's client uploads them (`upload/`) and as its importer reads them (`exports/`).

    Frames are tokens, named by their seconds. Activations over the time of exemplars that the dissection's folder does
    not hold yet are made, and kept there (see `keep_exemplars`). Every object is checked, field by field, before it is
    written, and `out` is there when all of them are.

    units        those that are written: (site, index), "SITE:INDEX", or Unit; None: the most selective ones
    sites        where `units` is None, of these only (names or globs); None: all that lie in a block
    best         how many, where `units` is None
    most         exemplars of each unit; None: all whose places were won by value
    model, data  what was dissected; None: what the dissection names, opened again
    model_id     of the model at Neuronpedia; None: made of its name

    Raises DissectionError for units that do not exist, where there is none to write, and where curves are missing and
    cannot be made, or `out` holds files; ValueError for a site outside the blocks, and numbers that make no sense.
    """
    folder = Path(out).expanduser()
    refuse_files(folder, dissection)
    if most is not None and most < 1:
        raise ValueError(f"most must be at least 1, it is {most}")
    chosen = _chosen(dissection, units, sites, best)
    if not chosen:
        raise DissectionError(_NO_UNIT)
    names = source_names(dissection, dict.fromkeys(site for site, _ in chosen))
    name = model_name(dissection, model_id)
    exemplars: dict[str, dict[int, Sequence[Exemplar]]] = {site: {} for site in dissection.sites if site in names}
    for site, unit in chosen:
        exemplars[site][unit] = exported_exemplars(dissection, site, unit, most)
    every = (each for of_site in exemplars.values() for of_unit in of_site.values() for each in of_unit)
    keep_clips(dissection, clips_of(every), model, data, RunOptions(device, batch_size=batch_size, progress=progress))
    with filled_whole(folder) as place:
        writing = _Writing(dissection, place, name)
        for site, of_units in exemplars.items():
            writing.write(site, names[site], of_units)
        if not writing.units:
            raise DissectionError(_NO_UNIT)
    written = set(writing.units)
    return NeuronpediaExport(
        folder=folder,
        model=name,
        sources=tuple(dict.fromkeys(names[site].id for site, _ in writing.units)),
        batches=tuple(folder / path for path in writing.batches),
        units=tuple(writing.units),
        left_out=tuple(at for at in chosen if at not in written),
    )


@dataclass
class _Writing:
    """Writes features, site by site and as many at once as an upload may hold, each object checked before its file.

    units    those that were written
    batches  the files of uploads, by their places in the folder
    """

    dissection: Dissection
    folder: Path
    model: str
    units: list[At] = field(default_factory=list)
    batches: list[Path] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._features = Features(self.dissection)

    def write(self, site: str, source: SourceName, exemplars: Mapping[int, Sequence[Exemplar]]) -> None:
        """The files of a site that has a feature; none of one that has not."""
        rows, exports = ExportRows(self.dissection, self.model, site, source), Path("exports") / self.model / source.id
        features = self._features.of_site(site, exemplars)
        for number in count():
            part = tuple(islice(features, MOST_FEATURES))
            if not part:
                return
            if not number:
                for table, row in rows.about().items():
                    self._write_rows(exports / f"{table}.jsonl", table, [row])
            self._write_upload(Path("upload") / source.id / f"batch-{number}.json", source, part)
            self._write_exports(exports, f"batch-{number}.jsonl.gz", rows, part)
            self.units += [(feature.site, feature.unit) for feature in part]

    def _write_upload(self, path: Path, source: SourceName, features: Sequence[Feature]) -> None:
        batch = upload_batch(self.model, source, features)
        check_upload(batch)
        _write(self.folder / path, _json(batch))
        self.batches.append(path)

    def _write_exports(self, place: Path, name: str, rows: ExportRows, features: Sequence[Feature]) -> None:
        tables = {
            "features": [rows.feature(each) for each in features],
            "activations": [row for each in features for row in rows.activations(each)],
            "explanations": [row for each in features for row in rows.explanations(each)],
        }
        for table, lines in tables.items():
            if lines:
                self._write_rows(place / table / name, table, lines)

    def _write_rows(self, path: Path, table: str, rows: Sequence[Row]) -> None:
        for row in rows:
            check_row(table, row)
        lines = b"".join(_json(row) + b"\n" for row in rows)
        # The same bytes for the same lines, packed where their name says so.
        _write(self.folder / path, gzip.compress(lines, mtime=0) if path.suffix == ".gz" else lines)


def _chosen(
    dissection: Dissection, units: Iterable[UnitName] | None, sites: str | Iterable[str] | None, best: int
) -> list[At]:
    if units is not None:
        return unit_pairs(dissection.widths(), units)
    if best < 1:
        raise ValueError(f"best must be at least 1, it is {best}")
    places = {site.name: site.layer for site in dissection.manifest.sites}
    within = [site for site in matching_sites(dissection, sites) if sites is not None or places[site] is not None]
    return most_selective_units(dissection, best, within)


def _json(value: Row) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False).encode()


def _write(path: Path, content: bytes) -> None:
    make_folder(path.parent)
    with written_whole(path) as temporary:
        temporary.write_bytes(content)
