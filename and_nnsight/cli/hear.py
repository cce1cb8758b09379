"""`hear`: the part of a clip that a unit needs, as sound files and a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from ._options import Device, DissectionFolder
from ._output import clean, quiet_transformers
from ._units import named_units

if TYPE_CHECKING:
    from ..dissection.dissection import Dissection
    from ..dissection.exemplars import Exemplar, Unit
    from ..maps.listenable_map import ListenableMap


_OTHERWISE = 16_000  # samples a second of clips that do not say theirs


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command()(hear)


def hear(
    folder: DissectionFolder,
    unit: Annotated[str, typer.Option(help="SITE:UNIT, for example blocks.2.mlp.hook_post:7.")],
    out: Annotated[Path, typer.Option(help="Folder for kept.flac, removed.flac, original.flac, map.json and map.png.")],
    clip: Annotated[
        int | None, typer.Option(help="Id of a clip. Default: the one on which the unit is highest.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="The model. Default: the one that was dissected.")] = None,
    data: Annotated[str | None, typer.Option(help="What was dissected, where the clips' files are gone.")] = None,
    masks: Annotated[int, typer.Option(help="Random masks to compare with.", min=1)] = 20,
    device: Device = None,
) -> None:
    """Write the part of a clip that a unit needs as sound, with how faithful it is."""
    from .. import hear as run
    from ..dissection.dissection import Dissection
    from ..model.checkpoint import ModelError

    quiet_transformers()
    dissection = Dissection.load(folder)
    chosen = named_units(dissection.widths(), [unit])
    if len(chosen) != 1:
        raise ValueError(
            f"--unit is one unit, for example {chosen[0][0]}:{chosen[0][1]}, and {unit!r} names {len(chosen)}"
        )
    named = dissection.unit(*chosen[0])
    where = _model_of(dissection) if model is None else model
    sound, part = _sound(dissection, named, clip, data), dissection.manifest.model.part
    try:
        made = run(named, sound, model=where, masks=masks, device=device, part=part)
    except ModelError as error:
        if model is not None:
            raise
        raise ValueError(f"{error}; so it was called where it was dissected: pass --model, where it is here") from error
    paths = _written(made, out)
    console = Console()
    console.print(clean(repr(made)), soft_wrap=True)
    console.print(f"written: {clean(', '.join(map(str, paths)))}", soft_wrap=True)


def _model_of(dissection: Dissection) -> str:
    """What the dissected model is called. Raises ValueError where that does not say which it was."""
    name = dissection.manifest.model.id
    if name is None:
        raise ValueError("the dissection does not say which model it is of: pass --model")
    return name


def _sound(dissection: Dissection, unit: Unit, clip: int | None, data: str | None) -> Any:
    """The unit's exemplar of a clip, or the clip's sound where it is none or its file is gone."""
    from ..explain.records.clip_audio import dissection_clips
    from ..explain.roles import Clip, Failure, Span

    exemplars = {exemplar.clip: exemplar for exemplar in reversed(unit.top)}
    if clip is None:
        if not unit.top:
            raise ValueError(f"{unit.site}:{unit.index} has no exemplar: pass --clip")
        clip = unit.top[0].clip
    exemplar = exemplars.get(clip)
    if exemplar is not None and (_is_kept(exemplar) or _has_file(exemplar)):
        return exemplar
    row = dissection.clips.get(clip)
    own_rate = _OTHERWISE if row is None or row.sampling_rate is None else row.sampling_rate
    (read,) = dissection_clips(dissection, [Span(clip)], sampling_rate=own_rate, data=data)
    if not isinstance(read, Clip):
        failure: Failure = read[1]
        raise ValueError(f"clip {clip} cannot be read: {failure.reason}")
    return {"array": read.samples, "sampling_rate": read.sampling_rate}


def _is_kept(exemplar: Exemplar) -> bool:
    return exemplar.store is not None and exemplar.store.has_sound(exemplar.clip)


def _has_file(exemplar: Exemplar) -> bool:
    return exemplar.path is not None and Path(exemplar.path).is_file()


def _written(made: ListenableMap, out: Path) -> list[Path]:
    """The files of a map; without matplotlib no picture, which is said."""
    from ..plugins import PluginError
    from ..storage import write_json

    paths = [*made.to_flac(out), out / "map.json"]
    write_json(paths[-1], made.summary())
    try:
        figure: Any = made.plot().figure
    except PluginError as error:
        Console(stderr=True).print(f"no picture: {clean(error)}", soft_wrap=True)
        return paths
    figure.savefig(out / "map.png", dpi=150)
    return [*paths, out / "map.png"]
