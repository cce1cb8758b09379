"""`explain` and `plugins`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from ..wording import agree, command, counted
from ._output import clean, plain, print_verdicts, resumable
from ._units import unit_indices

if TYPE_CHECKING:
    from ..dissection.table_row import TableRow


_OF_UNITS = ("summaries", "calibrated")


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command()(explain)
    app.command()(caption)
    app.command()(plugins)


def explain(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a dissection.")],
    captioner: Annotated[
        str | None,
        typer.Option(help="column:NAME, acoustic, transformers:REPO … Default: the dataset's captions, else acoustic."),
    ] = None,
    summarizer: Annotated[
        str | None, typer.Option(help="keywords, llm … Default: llm if a chat model is named, else keywords.")
    ] = None,
    chat: Annotated[
        str | None, typer.Option(help="Chat model: transformers:REPO or FILE.gguf, openai:MODEL, llm:MODEL …")
    ] = None,
    text_encoder: Annotated[
        str, typer.Option(help="For the calibration: words, sentence-transformers:REPO …")
    ] = "words",
    threshold: Annotated[
        float, typer.Option(help="A sentence closer than this to one of the lowly clips' is dropped.")
    ] = 0.6,
    sites: Annotated[list[str] | None, typer.Option(help="A site's name or glob. Repeatable. Default: all.")] = None,
    units: Annotated[str | None, typer.Option(help="Indices: 5, 0:100, or 3,7,20:30. Default: all.")] = None,
    k: Annotated[
        int | None,
        typer.Option("-k", help="Clips at either end of a unit. Default: 5; for keywords of own captions all.", min=1),
    ] = None,
    excerpt: Annotated[
        float | None, typer.Option(help="Caption so many seconds around where a unit fires, not whole clips.")
    ] = None,
    spread: Annotated[
        bool, typer.Option("--spread", help="Take the k from all stored exemplars, evenly, not the most extreme.")
    ] = False,
    every_clip: Annotated[bool, typer.Option("--all", help="Caption every clip, not only those that are needed.")] = (
        False
    ),
    background: Annotated[
        int, typer.Option(help="Clips of a fixed random sample to caption as well, for chance to be drawn from.", min=1)
    ] = 200,
    data: Annotated[
        str | None, typer.Option(help="The data that was dissected, where its clips are not files of this machine.")
    ] = None,
    step: Annotated[
        list[str] | None, typer.Option(help="Only this step: captions, summaries, calibrated, concepts. Repeatable.")
    ] = None,
    max_tokens: Annotated[int, typer.Option(help="Longest answer of the chat model.", min=1)] = 256,
    temperature: Annotated[float, typer.Option(help="Of the chat model; 0: greedy.", min=0)] = 0.0,
    top_p: Annotated[float, typer.Option(help="Of the chat model.", min=0, max=1)] = 1.0,
    seed: Annotated[int, typer.Option(help="Of the chat model.")] = 0,
    batch_size: Annotated[int, typer.Option(help="Clips or conversations a batch.", min=1)] = 8,
    device: Annotated[str | None, typer.Option(help="For example cpu or cuda; default: a GPU if there is one.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bars.")] = False,
) -> None:
    """Say in words what each unit listens for: captions → summaries → calibrated → open concepts."""
    from ..dissection.dissection import Dissection
    from ..explain import ChatOptions
    from ..explain import explain as run
    from ..explain.evaluate.verdicts import Verdicts
    from ..explain.pipeline import STEPS
    from ..explain.records.reading import units_aside
    from .dissect import quiet_transformers

    quiet_transformers()
    found = Dissection.load(folder)
    with resumable():
        answers = run(
            found, captioner=captioner, summarizer=summarizer, chat=chat, text_encoder=text_encoder,
            threshold=threshold, options=ChatOptions(max_tokens, temperature, top_p, seed), data=data, sites=sites,
            units=unit_indices(units), k=k, excerpt=excerpt, spread=spread, every_clip=every_clip,
            background=background, steps=step or STEPS, batch_size=batch_size, device=device, progress=not quiet,
        )  # fmt: skip
    for name, rows in answers.items():
        print(f"{name}: {_counted(rows)} ({folder / 'explanations' / f'{name}.parquet'})")
    _print_reasons(answers)
    if aside := max((units_aside(found, name) for name in answers if name in _OF_UNITS), default=0):
        print(
            f"{counted(aside, 'other unit')} {agree(aside, 'was', 'were')} explained with other settings: kept in "
            f"{folder / 'explanations' / 'earlier'}; show and search still tell of {agree(aside, 'it', 'them')}, and "
            "the same command without --units and --sites explains every unit alike"
        )
    said = {(row.site, row.unit): row.calibrated for row in answers.get("calibrated", ())}
    print_verdicts(*Verdicts.read(found).counts(said, "explanation"), "explanations")
    site = sites[0] if sites and sites[0] in found.sites else found.sites[-1]
    print("a unit's card: " + command("show", folder, site, (unit_indices(units) or [0])[0]))


def caption(
    data: Annotated[str, typer.Argument(help="Folder of audio (metadata.csv or .jsonl optional), or hub dataset id.")],
    out: Annotated[Path, typer.Option(help="File to write: FILE.parquet. The same command goes on with it.")],
    captioner: Annotated[str, typer.Option(help="column:NAME, acoustic, transformers:REPO …")] = "column:caption",
    split: Annotated[str | None, typer.Option(help="Split of a dataset.")] = None,
    audio_column: Annotated[str, typer.Option(help="Column that holds the audio.")] = "audio",
    limit: Annotated[int | None, typer.Option(help="At most so many clips.")] = None,
    batch_size: Annotated[int, typer.Option(help="Clips a batch.", min=1)] = 8,
    device: Annotated[str | None, typer.Option(help="For example cpu or cuda; default: a GPU if there is one.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bars.")] = False,
) -> None:
    """Caption every clip of data before it is dissected, for `concept-scores --captions`."""
    from ..explain.describe.captions import caption_data
    from .dissect import quiet_transformers

    quiet_transformers()
    with resumable():
        rows = caption_data(
            data, captioner, out=out, split=split, audio_column=audio_column, limit=limit, batch_size=batch_size,
            device=device, progress=not quiet,
        )  # fmt: skip
    print(f"captions: {_counted(rows)} ({out})")
    _print_reasons({"captions": rows})


def plugins() -> None:
    """List what is installed, by role; what cannot be used here says why."""
    from ..plugins import OURS, ROLES, installed

    console, listed = Console(), installed()
    for role in ROLES.values():
        there = [plugin for plugin in listed if plugin.role == role.name]
        console.print(
            f"[bold]{role.name}[/bold]" + ("" if there else f"\n  none is installed; for example {role.example}")
        )
        table = Table.grid(padding=(0, 2, 0, 0))
        table.add_column(no_wrap=True)
        for plugin in there:
            what = clean(plugin.description)
            if plugin.distribution != OURS:
                what += f" [dim]from {clean(plugin.distribution)}[/dim]"
            if plugin.broken:
                what += f"\n[yellow]{clean(plugin.broken)}[/yellow]"
            table.add_row(f"  {clean(plugin.name)}", what)
        console.print(table)
    console.print("\nChosen by name, with what it needs after a colon: --chat transformers:REPO")


def _counted(rows: Sequence[TableRow]) -> str:
    failed = sum(1 for row in rows if getattr(row, "failure", None))
    return counted(len(rows), "row") + (f", {failed:,} with a failure" if failed else "")


def _print_reasons(answers: Mapping[str, Sequence[TableRow]]) -> None:
    """The commonest failure of each step: one line says more than a count."""
    from collections import Counter

    for name, rows in answers.items():
        failures = [getattr(row, "failure", None) for row in rows]
        reasons = Counter(failure for failure in failures if failure)
        for reason, count in reasons.most_common(2):
            print(f"  {name}, {counted(count, 'time')}: {plain(reason)}")
