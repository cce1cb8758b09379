"""`sites` and `dissect`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from ..wording import agree, command, counted
from ._output import resumable
from ._remote import place


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command()(sites)
    app.command()(dissect)


def sites(
    model: Annotated[str, typer.Argument(help="Hub id, local folder, or PLUGIN:ARGUMENT.")],
    pattern: Annotated[
        list[str] | None,
        typer.Option("--sites", help="Only these: a name, a glob, default, paper, all, or module:PATH. Repeatable."),
    ] = None,
) -> None:
    """List the sites of a model, their widths, and the total. No weights are loaded."""
    from ..model.opening import without_weights

    quiet_transformers()
    chosen = without_weights(model).sites(*(pattern or ["all"]))
    table = Table("site", "units", "module")
    table.columns[1].justify = "right"
    for site in chosen:
        table.add_row(site.name, f"{site.width:,}" if site.width else "?", f"{site.path} ({site.side})")
    console = Console()
    console.print(table)
    console.print(f"{counted(len(chosen), 'site')}, {counted(sum(site.width for site in chosen), 'unit')}")


def dissect(
    model: Annotated[str, typer.Argument(help="Hub id, local folder, or PLUGIN:ARGUMENT.")],
    data: Annotated[str, typer.Argument(help="Folder of audio (metadata.csv or .jsonl optional), or hub dataset id.")],
    out: Annotated[Path, typer.Option(help="Folder of the dissection. The same command resumes it.")],
    sites: Annotated[
        list[str] | None,
        typer.Option(help="A site's name, a glob, default, paper, all, or module:PATH. Repeatable."),
    ] = None,
    k: Annotated[int, typer.Option("-k", help="Clips kept at either end of each unit.")] = 16,
    pool: Annotated[str, typer.Option(help="How frames become one value: max, mean, cls, first, last.")] = "max",
    batch_size: Annotated[int, typer.Option(help="Clips a batch.")] = 8,
    split: Annotated[str | None, typer.Option(help="Split of a dataset.")] = None,
    audio_column: Annotated[str, typer.Option(help="Column that holds the audio.")] = "audio",
    label_column: Annotated[str | None, typer.Option(help="Column that holds the label.")] = None,
    caption_column: Annotated[str | None, typer.Option(help="Column that holds the caption.")] = None,
    limit: Annotated[int | None, typer.Option(help="At most so many clips.")] = None,
    num_workers: Annotated[int, typer.Option(help="Processes that decode and make features.")] = 0,
    device: Annotated[str | None, typer.Option(help="For example cpu or cuda; default: a GPU if there is one.")] = None,
    dtype: Annotated[str | None, typer.Option(help="For example bfloat16; default: the checkpoint's.")] = None,
    concepts: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="File of concepts' scores: compare every unit with them."),
    ] = None,
    keep_activations: Annotated[
        bool, typer.Option("--keep-activations", help="Also write every clip's pooled activation of every unit.")
    ] = False,
    remote: Annotated[
        str | None,
        typer.Option(
            metavar="[URL]",
            help="Run the model on an NDIF server: at a URL, local for a dry run, or, without a value, nnsight's host.",
        ),
    ] = None,
    clips_per_job: Annotated[int | None, typer.Option(help="With --remote: at most so many clips a job.")] = None,
    gather: Annotated[
        str | None,
        typer.Option(help="With --remote: trace (reduce while the model runs) or cache (reduce after each batch)."),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Refuse to resume: the folder must be new.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar.")] = False,
) -> None:
    """Keep, for every unit of the sites, the clips it responds to most and least."""
    from ..run.dissect import dissect as run

    quiet_transformers()
    there = _server(remote, clips_per_job, gather)
    with resumable():
        found = run(
            model, data, sites or "default", k, pool, batch_size, out=out, split=split,
            audio_column=audio_column, label_column=label_column, caption_column=caption_column,
            limit=limit, num_workers=num_workers, device=device, dtype=dtype, resume=not fresh, progress=not quiet,
            concepts=concepts, keep_activations=keep_activations, remote=there,
        )  # fmt: skip
    there = f"{counted(sum(found.widths().values()), 'unit')} of {counted(len(found.sites), 'site')}"
    print(f"{counted(found.manifest.clips, 'clip')} through {there}: {out}")
    if aside := found.manifest.quarantined:
        print(f"{counted(aside, 'clip')} {agree(aside, 'was', 'were')} set aside: {out / 'quarantine.jsonl'} says why")
    print("look at a unit: " + command("show", out, found.sites[-1], 0))


def _server(remote: str | None, clips_per_job: int | None, gather: str | None) -> Any:
    """What `dissect` takes as `remote`. Raises ValueError for options of a server without one."""
    if remote is None:
        if clips_per_job is not None or gather is not None:
            raise ValueError("--clips-per-job and --gather are for a run on a server: give --remote too")
        return False
    from ..remote import as_settings
    from ..remote.settings import at

    return at(as_settings(place(remote)), clips_per_job=clips_per_job, gather=gather)


def quiet_transformers() -> None:
    """Keep transformers' own progress bars out of the output."""
    from transformers.utils import logging

    logging.disable_progress_bar()
