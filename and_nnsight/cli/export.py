"""`export` and `import`: a dissection in the formats of others, and what others say of its units."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..wording import counted
from ._option_groups import with_option_groups
from ._options import DissectionFolder, Sites
from ._output import plain, quiet_transformers, resumable
from ._sharing import SharingArguments, print_dataset
from ._units import NAMED, named_units

if TYPE_CHECKING:
    from ..dissection.dissection import Dissection


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command()(export)
    app.command(name="import")(import_)


@dataclass(frozen=True, kw_only=True)
class FormatArguments:
    """What the formats are told; None: not given. `_FORMATS` says which takes what."""

    texts: Annotated[str | None, typer.Option(help="delphi: stands for a clip: captions (default), labels.")] = None
    share: Annotated[
        float | None, typer.Option(help="delphi: of the clips, on which a unit fires at most. Default: 0.1.")
    ] = None
    units: Annotated[list[str] | None, typer.Option(metavar="SITE:UNIT", help=f"neuronpedia: {NAMED}")] = None
    best: Annotated[
        int | None,
        typer.Option(help="neuronpedia (128), dataset (100): so many units, the most selective.", min=0),
    ] = None
    exemplars: Annotated[
        int | None, typer.Option(help="neuronpedia, dataset: so many of each. Default: all; 8.", min=0)
    ] = None
    model: Annotated[
        str | None, typer.Option(help="neuronpedia: what was dissected, where it is no longer under its name.")
    ] = None
    data: Annotated[
        str | None, typer.Option(help="neuronpedia, dataset: what was dissected, where its clips have no files.")
    ] = None
    model_id: Annotated[
        str | None, typer.Option(help="neuronpedia: the model's id there. Default: made of its name.")
    ] = None
    batch_size: Annotated[int | None, typer.Option(help="neuronpedia: clips a batch.", min=1)] = None
    device: Annotated[str | None, typer.Option(help="neuronpedia: for example cpu or cuda.")] = None
    quiet: Annotated[bool | None, typer.Option("--quiet", help="neuronpedia: no progress bar.")] = None
    audio: Annotated[
        bool | None, typer.Option("--audio/--no-audio", help="dataset: whether sounds go along. Has to be said.")
    ] = None
    license: Annotated[
        str | None, typer.Option(metavar="LICENSE", help="dataset: of the data, for example cc-by-4.0. Never guessed.")
    ] = None
    keep_paths: Annotated[
        bool | None, typer.Option("--keep-paths", help="dataset: leave places on this machine as they stand.")
    ] = None


@with_option_groups
def export(
    folder: DissectionFolder,
    to: Annotated[
        str,
        typer.Option(
            help="parquet or csv: tables of units, exemplars, clips, explanations. delphi: caches of latents. "
            "neuronpedia: upload batches and export files. dataset: what push puts on the hub."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder to write to.")],
    arguments: FormatArguments,
    sites: Sites = None,
) -> None:
    """Write a dissection as files that others read. Options that name a format are of that format alone."""
    from ..dissection.dissection import Dissection

    if to not in _FORMATS:
        raise ValueError(f"unknown format {to!r}: one of {', '.join(_FORMATS)}")
    write, takes = _FORMATS[to]
    options = {name: value for name, value in vars(arguments).items() if value is not None}
    if others := [name for name in options if name not in takes]:
        of = " and ".join(name for name, (_, names) in _FORMATS.items() if others[0] in names)
        raise ValueError(f"--{others[0].replace('_', '-')} is for --to {of}, not for {to}")
    for line in write(Dissection.load(folder), to, out, sites, options):
        print(plain(line))


def _tables(dissection: Dissection, to: str, out: Path, sites: list[str] | None, _: Mapping[str, Any]) -> Iterator[str]:
    from ..share.exporting import export as run

    written = run(dissection, to, out, sites=sites)
    yield f"{counted(len(written), 'file')} in {out}: {', '.join(path.name for path in written)}"


def _delphi(
    dissection: Dissection, _: str, out: Path, sites: list[str] | None, options: Mapping[str, Any]
) -> Iterator[str]:
    from ..share.delphi import export_delphi

    yield f"{export_delphi(dissection, out, sites=sites, **options)}: {out}"


def _neuronpedia(
    dissection: Dissection, _: str, out: Path, sites: list[str] | None, options: Mapping[str, Any]
) -> Iterator[str]:
    from ..share.neuronpedia import export_neuronpedia

    quiet_transformers()
    values = dict(options)
    values["progress"] = not values.pop("quiet", False)
    values["most"] = values.pop("exemplars", None)
    if "units" in values:
        if sites:
            raise ValueError("name units (--units) or sites (--sites), not both")
        values["units"] = named_units(dissection.widths(), values["units"])
    with resumable():
        yield f"{export_neuronpedia(dissection, out, sites=sites, **values)}: {out}"


def _dataset(
    dissection: Dissection, _: str, out: Path, sites: list[str] | None, options: Mapping[str, Any]
) -> Iterator[str]:
    from ..share.dataset_folder import DatasetOptions, write_dataset

    if sites:
        raise ValueError("a dataset is of the whole dissection: leave --sites out")
    written = write_dataset(dissection, out, DatasetOptions(**vars(SharingArguments(**options))))
    print_dataset(written, written.bytes)
    yield f"a dataset is in {out}: its card is {out / 'README.md'}"


Writer = Callable[["Dissection", str, Path, list[str] | None, Mapping[str, Any]], Iterator[str]]
_FORMATS: dict[str, tuple[Writer, frozenset[str]]] = {
    "parquet": (_tables, frozenset()),
    "csv": (_tables, frozenset()),
    "delphi": (_delphi, frozenset({"texts", "share"})),
    "neuronpedia": (
        _neuronpedia,
        frozenset("units best exemplars model data model_id batch_size device quiet".split()),
    ),
    "dataset": (_dataset, frozenset("audio license best exemplars data keep_paths".split())),
}
"""How each format is written, and which options it takes."""


def import_(
    folder: DissectionFolder,
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run of delphi over what was exported to it.")],
    from_: Annotated[str, typer.Option("--from", help="Whose explanations: delphi.")] = "delphi",
) -> None:
    """Take others' explanations of units for those of a dissection; earlier ones are put aside."""
    from ..dissection.dissection import Dissection
    from ..share.delphi import import_explanations

    if from_ != "delphi":
        raise ValueError(f"unknown format {from_!r}: delphi")
    print(plain(f"{import_explanations(Dissection.load(folder), run)}: {folder / 'explanations'}"))
