"""A dissection as a dataset: a folder that `load_dataset` reads, the hub's viewer shows, and that holds it whole."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as arrow
import pyarrow.parquet as parquet

from ..dissection.dissection import Dissection
from ..dissection.errors import DissectionError
from ..dissection.hub import FOLDER
from ..dissection.rows import Rows
from ..storage import make_folder
from .dataset_card import dataset_card
from .exemplar_rows import ExemplarRow, exemplar_table
from .exporting import tables_beside
from .folder_copy import copy_folder
from .heard_exemplars import HeardExemplars, heard_spans, heard_units
from .machine_traces import MachineTraces
from .new_folder import refuse_files
from .unit_row import UnitRow
from .unit_table import unit_table

if TYPE_CHECKING:
    from datasets import Features

_ROWS_WITH_SOUND = 100  # a group of rows, which a viewer reads as a whole
_ROWS = 50_000
Units = Sequence[tuple[str, int]]


@dataclass(frozen=True, kw_only=True)
class DatasetOptions:
    """What of a dissection is handed on, and under which licence the data may be.

    audio       whether sounds go along; None: neither was said, which is refused
    license     of the data, as the hub names it (cc-by-4.0) or in words; needed for sounds
    best        the exemplars of so many units can be heard: the most selective, explained ones first
    exemplars   so many of each
    data        what was dissected, where the clips have no files that are still there
    keep_paths  leave places on this machine as they stand in the folder
    """

    audio: bool | None = None
    license: str | None = None
    best: int = 100
    exemplars: int = 8
    data: Any = None
    keep_paths: bool = False


@dataclass(frozen=True)
class DatasetFolder:
    """A dataset that was written.

    rows      of each configuration
    clips     how many clips can be heard in it
    failures  clips whose sound could not be read, and why
    traces    what of this machine was in the text
    left_out  what else is in the dissection's folder, and is not in this one
    """

    folder: Path
    rows: dict[str, int]
    clips: int
    failures: dict[int, str] = field(default_factory=dict)
    traces: MachineTraces = field(default_factory=lambda: MachineTraces({}))
    left_out: list[str] = field(default_factory=list)

    @property
    def bytes(self) -> int:
        """How much its files take."""
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())


def write_dataset(
    dissection: Dissection,
    out: str | Path,
    options: DatasetOptions | None = None,
    *,
    name: str | None = None,
    link: bool = False,
) -> DatasetFolder:
    """Write a dissection as a dataset: README.md (its card), data/CONFIGURATION/*.parquet, and its own folder.

    out   a folder that is not there, or an empty one, outside the dissection's own
    name  of the repository that it is for: what its card says of how to read it
    link  files that stay as they are need not be copied

    Raises DissectionError where it was not said whether sounds go along, or under which licence; where text holds
    something like a key; and where no sound can be read. Nothing is left then.
    """
    options = options or DatasetOptions()
    _check(dissection, options)
    folder = Path(out).expanduser()
    refuse_files(folder, dissection)
    make_folder(folder, DissectionError)
    try:
        traces = MachineTraces({}) if options.keep_paths else MachineTraces.of(dissection)
        others = copy_folder(dissection, folder / FOLDER, traces, audio=bool(options.audio), link=link)
        made = _with_tables(dissection, Dissection.load(folder / FOLDER), folder, options, traces, name)
        return replace(made, left_out=others)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _check(dissection: Dissection, options: DatasetOptions) -> None:
    data = dissection.manifest.dataset.name or "the data"
    if options.audio is None:
        raise DissectionError(
            f"say whether sounds of {data} go along: --audio (audio=True), for which its licence must allow it, or "
            "--no-audio (audio=False)"
        )
    if options.audio and not (options.license or "").strip():
        raise DissectionError(
            f"say under which licence {data} is (--license, for example cc-by-4.0), for its sounds go along; or leave "
            "them out (--no-audio)"
        )
    if options.best < 0 or options.exemplars < 0:
        raise DissectionError("the numbers of units and of exemplars that can be heard must be 0 or more")


def _with_tables(
    dissection: Dissection,
    shared: Dissection,
    folder: Path,
    options: DatasetOptions,
    traces: MachineTraces,
    name: str | None,
) -> DatasetFolder:
    """The tables are those of what is handed on; the sounds are read where the dissection itself knows them."""
    units, places = unit_table(shared), exemplar_table(shared)
    chosen = heard_units(shared, units, options.best) if options.audio else []
    of_chosen = set(chosen)
    of_units = [row for row in places if (row.site, row.unit) in of_chosen]
    with HeardExemplars(heard_spans(of_units, shared, options.exemplars)) as heard:
        heard.read(dissection, options.data)
        _write_exemplars(folder, places, units, chosen, heard if options.audio else None)
        clips = heard.clips | (frozenset(shared.exemplars().clips) if options.audio else frozenset())
        rows = {"units": len(units), "exemplars": len(places)}
        _write(folder, "units", units.kind.to_arrow(units))
        for table in tables_beside(shared, units):
            if len(table):
                _write(folder, table.kind.table, table.kind.to_arrow(table))
                rows[table.kind.table] = len(table)
        made = DatasetFolder(folder, rows, len(clips), heard.failures, traces)
    best = [row for at in heard_units(shared, units, _SHOWN) for row in units if row.key_values == at]
    text = dataset_card(shared, rows, best, clips=made.clips, license=options.license, name=name, heard=len(chosen))
    (folder / "README.md").write_text(text, encoding="utf-8", newline="\n")
    return made


_SHOWN = 10


def _write(folder: Path, config: str, table: arrow.Table) -> None:
    from datasets import Features

    features = Features.from_arrow_schema(table.schema.remove_metadata())
    with _writer(folder, config, features) as writer:
        writer.write_table(table.replace_schema_metadata(features.arrow_schema.metadata), _ROWS)


def _writer(folder: Path, config: str, features: Features) -> parquet.ParquetWriter:
    place = folder / "data" / config
    make_folder(place, DissectionError)
    return parquet.ParquetWriter(str(place / "train.parquet"), features.arrow_schema)


def _write_exemplars(
    folder: Path, places: Iterable[ExemplarRow], units: Rows[UnitRow], chosen: Units, heard: HeardExemplars | None
) -> None:
    """Every place with what is said of its unit; those first that have a sound, in the order of the chosen units."""
    from datasets import Audio, Features, Value

    features = Features.from_arrow_schema(ExemplarRow.schema())
    features |= {"explanation": Value("string"), "explanation_holds": Value("bool")}
    sounding: list[ExemplarRow] = []
    if heard is not None:
        features = Features({"audio": Audio(), **features, "audio_start": Value("float64")})
        order = {at: number for number, at in enumerate(chosen)}
        sounding = [row for row in places if heard.has_sound(row)]
        sounding.sort(key=lambda row: (order[row.site, row.unit], row.rank))
    others = [row for row in places if heard is None or not heard.has_sound(row)]
    claims = {row.key_values: (row.explanation, row.explanation_holds) for row in units}
    with _writer(folder, "exemplars", features) as writer:
        for group in (*_groups(sounding, _ROWS_WITH_SOUND), *_groups(others, _ROWS)):
            columns = [_columns(row, claims[row.site, row.unit], heard) for row in group]
            writer.write_table(arrow.Table.from_pylist(columns, features.arrow_schema))


def _groups(rows: Sequence[ExemplarRow], size: int) -> Iterator[Sequence[ExemplarRow]]:
    return (rows[start : start + size] for start in range(0, len(rows), size))


def _columns(row: ExemplarRow, claim: tuple[str | None, bool | None], heard: HeardExemplars | None) -> dict[str, Any]:
    columns = row.columns() | {"explanation": claim[0], "explanation_holds": claim[1]}
    if heard is None:
        return columns
    sound, start = heard.sound(row)
    return columns | {"audio": sound, "audio_start": start}
