"""`export` and `import`: a dissection in the formats of others, and what others say of its units."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..wording import counted
from ._option_groups import with_option_groups
from ._options import DissectionFolder, Sites
from ._output import plain, quiet_transformers, resumable
from ._units import NAMED, named_units

if TYPE_CHECKING:
    from ..dissection.dissection import Dissection


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command()(export)
    app.command(name="import")(import_)


@dataclass(frozen=True, kw_only=True)
class DelphiArguments:
    """Options of exports to delphi; None: not given."""

    texts: Annotated[str | None, typer.Option(help="delphi: stands for a clip: captions (default), labels.")] = None
    share: Annotated[
        float | None, typer.Option(help="delphi: of the clips, on which a unit fires at most. Default: 0.1.")
    ] = None


@dataclass(frozen=True, kw_only=True)
class NeuronpediaArguments:
    """Options of exports to Neuronpedia; None: not given."""

    units: Annotated[list[str] | None, typer.Option(metavar="SITE:UNIT", help=f"neuronpedia: {NAMED}")] = None
    best: Annotated[
        int | None, typer.Option(help="neuronpedia: so many units, the most selective. Default: 128.", min=1)
    ] = None
    most: Annotated[int | None, typer.Option(help="neuronpedia: exemplars of each unit. Default: all.", min=1)] = None
    model: Annotated[
        str | None, typer.Option(help="neuronpedia: what was dissected, where it is no longer under its name.")
    ] = None
    data: Annotated[
        str | None, typer.Option(help="neuronpedia: what was dissected, where it is no longer in its place.")
    ] = None
    model_id: Annotated[
        str | None, typer.Option(help="neuronpedia: the model's id there. Default: made of its name.")
    ] = None
    batch_size: Annotated[int | None, typer.Option(help="neuronpedia: clips a batch.", min=1)] = None
    device: Annotated[str | None, typer.Option(help="neuronpedia: for example cpu or cuda.")] = None
    quiet: Annotated[bool | None, typer.Option("--quiet", help="neuronpedia: no progress bar.")] = None


@with_option_groups
def export(
    folder: DissectionFolder,
    to: Annotated[
        str,
        typer.Option(
            help="parquet or csv: tables of units, exemplars, clips and explanations. delphi: caches of latents and "
            "explanations. neuronpedia: upload batches and export files."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder to write to.")],
    delphi: DelphiArguments,
    neuronpedia: NeuronpediaArguments,
    sites: Sites = None,
) -> None:
    """Write a dissection as files that others read."""
    from ..dissection.dissection import Dissection

    if to not in _WRITERS:
        raise ValueError(f"unknown format {to!r}: one of {', '.join(_WRITERS)}")
    given = {"delphi": _given(delphi), "neuronpedia": _given(neuronpedia)}
    options = given.pop(to, {})
    for of, others in given.items():
        if others:
            raise ValueError(f"--{next(iter(others)).replace('_', '-')} is for --to {of}, not for {to}")
    _WRITERS[to](Dissection.load(folder), to, out, sites, options)


def _given(arguments: object) -> dict[str, Any]:
    return {name: value for name, value in vars(arguments).items() if value is not None}


def _tables(dissection: Dissection, to: str, out: Path, sites: list[str] | None, _: Mapping[str, Any]) -> None:
    from ..share.exporting import export as run

    written = run(dissection, to, out, sites=sites)
    print(f"{counted(len(written), 'file')} in {out}: {', '.join(path.name for path in written)}")


def _delphi(dissection: Dissection, _: str, out: Path, sites: list[str] | None, options: Mapping[str, Any]) -> None:
    from ..share.delphi import export_delphi

    print(plain(f"{export_delphi(dissection, out, sites=sites, **options)}: {out}"))


def _neuronpedia(
    dissection: Dissection, _: str, out: Path, sites: list[str] | None, options: Mapping[str, Any]
) -> None:
    from ..share.neuronpedia import export_neuronpedia

    quiet_transformers()
    values = dict(options)
    values["progress"] = not values.pop("quiet", False)
    if "units" in values:
        if sites:
            raise ValueError("name units (--units) or sites (--sites), not both")
        values["units"] = named_units(dissection.widths(), values["units"])
    with resumable():
        written = export_neuronpedia(dissection, out, sites=sites, **values)
    print(plain(f"{written}: {out}"))


_WRITERS: dict[str, Callable[[Dissection, str, Path, list[str] | None, Mapping[str, Any]], None]] = {
    "parquet": _tables,
    "csv": _tables,
    "delphi": _delphi,
    "neuronpedia": _neuronpedia,
}


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
