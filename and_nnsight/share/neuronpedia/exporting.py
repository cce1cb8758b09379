"""Units of a dissection for Neuronpedia: upload batches, and the files of its exports."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
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
from ..new_folder import refuse_files
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
    not hold yet are made, and kept there (see `keep_exemplars`). Every object is checked, field by field, before
    anything is written.

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
    exemplars = {at: exported_exemplars(dissection, *at, most) for at in chosen}
    options = RunOptions(device, batch_size=batch_size, progress=progress)
    keep_clips(dissection, clips_of(each for of_unit in exemplars.values() for each in of_unit), model, data, options)
    features = _features(dissection, exemplars)
    if not features:
        raise DissectionError(_NO_UNIT)
    files = _files(dissection, name, names, features)
    for path, content in files.items():
        _write(folder / path, content)
    written = tuple((feature.site, feature.unit) for feature in features)
    return NeuronpediaExport(
        folder=folder,
        model=name,
        sources=tuple(dict.fromkeys(names[site].id for site, _ in written)),
        batches=tuple(folder / path for path in files if path.parts[0] == "upload"),
        units=written,
        left_out=tuple(at for at in chosen if at not in set(written)),
    )


def _files(
    dissection: Dissection, model: str, sources: Mapping[str, SourceName], features: Sequence[Feature]
) -> dict[Path, Any]:
    """What is in the files of every site that has a feature, by their places in the export."""
    files: dict[Path, Any] = {}
    for site, source in sources.items():
        of_site = [feature for feature in features if feature.site == site]
        if of_site:
            uploads = [upload_batch(model, source, each) for each in _parts(of_site)]
            files |= _uploads(Path("upload") / source.id, uploads)
            rows = ExportRows(dissection, model, site, source)
            files |= _exports(Path("exports") / model / source.id, rows, of_site)
    return files


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


def _features(dissection: Dissection, exemplars: Mapping[At, Sequence[Exemplar]]) -> list[Feature]:
    """Of units that have a clip to show, in the order of sites and indices."""
    making = Features(dissection)
    order = {site: place for place, site in enumerate(dissection.sites)}
    units = sorted(exemplars, key=lambda at: (order[at[0]], at[1]))
    made = (making.of(*at, exemplars[at]) for at in units)
    return [feature for feature in made if feature is not None]


def _parts(features: Sequence[Feature]) -> list[Sequence[Feature]]:
    """As many as a batch may hold."""
    return [features[first : first + MOST_FEATURES] for first in range(0, len(features), MOST_FEATURES)]


def _uploads(folder: Path, batches: Sequence[Row]) -> dict[Path, Row]:
    for batch in batches:
        check_upload(batch)
    return {folder / f"batch-{number}.json": batch for number, batch in enumerate(batches)}


def _exports(folder: Path, rows: ExportRows, features: Sequence[Feature]) -> dict[Path, list[Row]]:
    """The lines of each file of a source."""
    files = {folder / f"{table}.jsonl": [row] for table, row in rows.about().items()}
    for number, part in enumerate(_parts(features)):
        tables = {
            "features": [rows.feature(each) for each in part],
            "activations": [row for each in part for row in rows.activations(each)],
            "explanations": [row for each in part for row in rows.explanations(each)],
        }
        files |= {
            folder / table / f"batch-{number}.jsonl.gz": of_table for table, of_table in tables.items() if of_table
        }
    for path, lines in files.items():
        table = path.name.partition(".")[0] if path.parent == folder else path.parent.name
        for line in lines:
            check_row(table, line)
    return files


def _write(path: Path, content: Row | list[Row]) -> None:
    """An upload as JSON; lines as JSON lines, packed where their name says so: the same bytes for the same lines."""
    make_folder(path.parent)
    if isinstance(content, dict):
        with written_whole(path) as temporary:
            temporary.write_bytes(json.dumps(content, ensure_ascii=False, allow_nan=False).encode())
        return
    lines = "".join(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n" for line in content).encode()
    with written_whole(path) as temporary:
        temporary.write_bytes(gzip.compress(lines, mtime=0) if path.suffix == ".gz" else lines)
