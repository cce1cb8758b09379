"""`sites` and `dissect`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..wording import agree, command, counted
from ._option_groups import with_option_groups
from ._options import AsJson, Data, DataArguments, LoaderArguments, Model, Part, Quiet
from ._output import print_json, quiet_transformers, resumable
from ._remote import place

if TYPE_CHECKING:
    from ..dissection.dissection import Dissection
    from ..sites.parts import Part as PartOfModel
    from ..sites.site import Site


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command()(sites)
    app.command()(dissect)


def sites(
    model: Model,
    pattern: Annotated[
        list[str] | None,
        typer.Option(
            "--sites",
            help="Only these: a name, a glob, default, paper, all, heads, module:PATH, SITE|heads, or SITE|sae:PATH. "
            "Repeatable.",
        ),
    ] = None,
    part: Part = None,
    as_json: AsJson = False,
) -> None:
    """List the parts of a model, and the sites of one, with their widths and the total. No weights are loaded."""
    from ..model.opening import without_weights

    quiet_transformers()
    adapter = without_weights(model, part)
    console, parts = Console(), adapter.parts()
    matching = adapter.sites(*(pattern or ["all"]))
    if as_json:
        print_json({"parts": [asdict(each) for each in parts], "sites": [_columns(site) for site in matching]})
        return
    if len(parts) > 1:
        _print_parts(console, parts, adapter.part)
    table = Table("site", "units", "module")
    table.columns[1].justify = "right"
    for site in matching:
        table.add_row(escape(site.name), f"{site.width:,}" if site.width else "?", escape(_where(site)))
    console.print(table)
    console.print(f"{counted(len(matching), 'site')}, {counted(sum(site.width for site in matching), 'unit')}")


def _columns(site: Site) -> dict[str, Any]:
    """A site for programs; its width is null where only running the model tells it."""
    return {"site": site.name, "units": site.width or None, "path": site.path, "side": site.side}


def _print_parts(console: Console, parts: Sequence[PartOfModel], opened: PartOfModel | None) -> None:
    """The parts of a model that has several, and which of them the sites below are of."""
    table = Table("part", "does", "sites", "class", "module")
    table.columns[2].justify = "right"
    for part in parts:
        count = f"{len(part.sites):,}" if part.sites else f"none: {part.reason}"
        table.add_row(escape(part.name), part.does or "-", escape(count), part.class_name, escape(part.path))
    console.print(table)
    name = "the whole model, of what it does with sound" if opened is None else opened.name
    console.print(f"The sites of {escape(name)} (--part for another):")


def _where(site: Site) -> str:
    """Where in the model a site is, and what its units are where they are heads or a dictionary's latents."""
    from ..sites.heads import Heads

    where = f"{site.path} ({site.side})"
    if site.dictionary is None:
        return where
    described = site.dictionary.describe()
    if isinstance(site.dictionary, Heads):
        return f"{where}, {described['kind']}"
    return f"{where}, latents of {described['library']}: {described['kind']}"


@dataclass(frozen=True, kw_only=True)
class ExemplarArguments:
    """Which clips are kept, of which units."""

    sites: Annotated[
        list[str] | None,
        typer.Option(
            help="A site's name, a glob, default, paper, all, heads, module:PATH, SITE|heads, or SITE|sae:PATH. "
            "Repeatable."
        ),
    ] = None
    k: Annotated[int, typer.Option("-k", help="Clips kept at either end of each unit.")] = 16
    pool: Annotated[str, typer.Option(help="How frames become one value: max, mean, cls, first, last.")] = "max"
    part: Part = None
    batch_size: Annotated[int, typer.Option(help="Clips a batch.")] = 8


@dataclass(frozen=True, kw_only=True)
class ReaderArguments:
    """How a part that reads (a language model, a decoder) is shown a clip, and which of its tokens count."""

    prompt: Annotated[str | None, typer.Option(help="With --part: what the model is asked beside the sound.")] = None
    tokens: Annotated[
        str | None, typer.Option(help="With --part: which tokens count, those of the audio, the prompt or the answer.")
    ] = None
    answer: Annotated[
        str | None,
        typer.Option(help="With --part: generated (greedily), or the clip's caption or label, given as the answer."),
    ] = None


@dataclass(frozen=True, kw_only=True)
class MoreStatistics:
    """What is kept beside exemplars."""

    concepts: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="File of concepts' scores: compare every unit with them."),
    ] = None
    annotations: Annotated[
        str | None,
        typer.Option(
            metavar="PLACE",
            help="Folder of TextGrid or CTM files, column:NAME, or whisper:CHECKPOINT: compare every unit, frame by "
            "frame, with phones, words, speakers and pauses.",
        ),
    ] = None
    keep_activations: Annotated[
        bool, typer.Option("--keep-activations", help="Also write every clip's pooled activation of every unit.")
    ] = False
    keep_exemplars: Annotated[
        int | None,
        typer.Option(metavar="N", help="Also keep the sounds of so many exemplars at either end of every unit.", min=1),
    ] = None


@dataclass(frozen=True, kw_only=True)
class SessionArguments:
    """Where the run takes place, and whether it may go on with another."""

    remote: Annotated[
        str | None,
        typer.Option(
            metavar="[URL]",
            help="Run the model on an NDIF server: at a URL, local for a dry run, or, without a value, nnsight's host.",
        ),
    ] = None
    clips_per_job: Annotated[int | None, typer.Option(help="With --remote: at most so many clips a job.")] = None
    gather: Annotated[
        str | None,
        typer.Option(help="With --remote: trace (reduce while the model runs) or cache (reduce after each batch)."),
    ] = None
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="I/N",
            help="Only the I-th of N parts, counted from 0, in a folder of its own below --out; the last to be done "
            "merges all. Under torchrun: each process its own, without this option.",
        ),
    ] = None
    fresh: Annotated[bool, typer.Option("--fresh", help="Refuse to resume: the folder must be new.")] = False
    quiet: Quiet = False

    def part(self) -> str | None:
        """What `dissect` takes as `shard`."""
        from ..run.shards import TORCHRUN, under_torchrun

        return TORCHRUN if self.shard is None and under_torchrun() else self.shard

    def server(self) -> Any:
        """What `dissect` takes as `remote`. Raises ValueError for options of a server without one."""
        if self.remote is None:
            if self.clips_per_job is not None or self.gather is not None:
                raise ValueError("--clips-per-job and --gather are for a run on a server: give --remote too")
            return False
        from ..remote import as_settings
        from ..remote.settings import at

        return at(as_settings(place(self.remote)), clips_per_job=self.clips_per_job, gather=self.gather)


@with_option_groups
def dissect(
    model: Model,
    data: Data,
    out: Annotated[Path, typer.Option(help="Folder of the dissection. The same command resumes it.")],
    exemplars: ExemplarArguments,
    columns: DataArguments,
    loader: LoaderArguments,
    reads: ReaderArguments,
    more: MoreStatistics,
    session: SessionArguments,
) -> None:
    """Keep, for every unit of the sites, the clips it responds to most and least."""
    from ..run.dissect import dissect as run

    quiet_transformers()
    server = session.server()
    shard = session.part()
    with resumable():
        dissection = run(
            model, data, exemplars.sites or "default", exemplars.k, exemplars.pool, exemplars.batch_size, out=out,
            **vars(columns), **vars(loader), **vars(more), remote=server, resume=not session.fresh,
            progress=not session.quiet, shard=shard, part=exemplars.part, **vars(reads),
        )  # fmt: skip
    print_summary(dissection, dissection.folder if dissection.manifest.shard else out)


def print_summary(dissection: Dissection, out: Path) -> None:
    """What is there now, and how to look at it."""
    part = dissection.manifest.shard
    units, sites = sum(dissection.widths().values()), len(dissection.sites)
    clips = counted(dissection.manifest.clips, "clip")
    of = "" if part is None else f"shard {part}: "
    print(f"{of}{clips} through {counted(units, 'unit')} of {counted(sites, 'site')}: {out}")
    set_aside = dissection.manifest.quarantined
    if set_aside:
        were = agree(set_aside, "was", "were")
        print(f"{counted(set_aside, 'clip')} {were} set aside: {out / 'quarantine.jsonl'} says why")
    if part is None and dissection.manifest.annotations is not None:
        print("units by phone, word, speaker and pause: " + command("fires-on", out))
    if part is None:
        print("look at a unit: " + command("show", out, dissection.sites[-1], 0))
