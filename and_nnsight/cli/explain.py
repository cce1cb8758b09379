"""`explain` and `caption`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..wording import agree, command, counted
from ._option_groups import with_option_groups
from ._options import (
    AudioDataArguments,
    BatchSize,
    ConversationBatchSize,
    Data,
    Device,
    DissectionFolder,
    QuietSteps,
    Sites,
    Units,
)
from ._output import plain, print_verdicts, quiet_transformers, resumable
from ._units import unit_indices

if TYPE_CHECKING:
    from ..dissection.dissection import Dissection
    from ..dissection.table_row import TableRow

_OF_UNITS = ("summaries", "calibrated")


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command()(explain)
    app.command()(caption)


@dataclass(frozen=True, kw_only=True)
class ModelArguments:
    """What captions, summarises and compares."""

    captioner: Annotated[
        str | None,
        typer.Option(help="column:NAME, acoustic, transformers:REPO … Default: the dataset's captions, else acoustic."),
    ] = None
    summarizer: Annotated[
        str | None, typer.Option(help="keywords, llm … Default: llm if a chat model is named, else keywords.")
    ] = None
    chat: Annotated[
        str | None, typer.Option(help="Chat model: transformers:REPO or FILE.gguf, openai:MODEL, llm:MODEL …")
    ] = None
    text_encoder: Annotated[str, typer.Option(help="For the calibration: words, sentence-transformers:REPO …")] = (
        "words"
    )
    threshold: Annotated[
        float, typer.Option(help="A sentence closer than this to one of the lowly clips' is dropped.")
    ] = 0.6


@dataclass(frozen=True, kw_only=True)
class EvidenceArguments:
    """Which units, and which clips speak for them."""

    sites: Sites = None
    units: Units = None
    k: Annotated[
        int | None,
        typer.Option("-k", help="Clips at either end of a unit. Default: 5; for keywords of own captions all.", min=1),
    ] = None
    excerpt: Annotated[
        float | None, typer.Option(help="Caption so many seconds around where a unit fires, not whole clips.")
    ] = None
    spread: Annotated[
        bool, typer.Option("--spread", help="Take the k from all stored exemplars, evenly, not the most extreme.")
    ] = False

    def keywords(self) -> dict[str, Any]:
        """What `explain` takes them as."""
        return vars(self) | {"units": unit_indices(self.units)}


@dataclass(frozen=True, kw_only=True)
class StepArguments:
    """Which clips are captioned beside those, and which steps run."""

    every_clip: Annotated[bool, typer.Option("--all", help="Caption every clip, not only those that are needed.")] = (
        False
    )
    background: Annotated[
        int, typer.Option(help="Clips of a fixed random sample to caption as well, for chance to be drawn from.", min=1)
    ] = 200
    data: Annotated[
        str | None, typer.Option(help="The data that was dissected, where its clips are not files of this machine.")
    ] = None
    step: Annotated[
        list[str] | None, typer.Option(help="Only this step: captions, summaries, calibrated, concepts. Repeatable.")
    ] = None


@dataclass(frozen=True, kw_only=True)
class ChatArguments:
    """How the chat model answers."""

    max_tokens: Annotated[int, typer.Option(help="Longest answer of the chat model.", min=1)] = 256
    temperature: Annotated[float, typer.Option(help="Of the chat model; 0: greedy.", min=0)] = 0.0
    top_p: Annotated[float, typer.Option(help="Of the chat model.", min=0, max=1)] = 1.0
    seed: Annotated[int, typer.Option(help="Of the chat model.")] = 0


@with_option_groups
def explain(
    folder: DissectionFolder,
    models: ModelArguments,
    evidence: EvidenceArguments,
    steps: StepArguments,
    chat_options: ChatArguments,
    batch_size: ConversationBatchSize = 8,
    device: Device = None,
    quiet: QuietSteps = False,
) -> None:
    """Say in words what each unit listens for: captions → summaries → calibrated → open concepts."""
    from .. import explain as explaining
    from ..dissection.dissection import Dissection
    from ..explain.evaluate.verdicts import Verdicts
    from ..explain.pipeline import STEPS

    quiet_transformers()
    dissection = Dissection.load(folder)
    with resumable():
        tables = explaining.explain(
            dissection, **vars(models), **evidence.keywords(), every_clip=steps.every_clip,
            background=steps.background, data=steps.data, steps=steps.step or STEPS,
            options=explaining.ChatOptions(**vars(chat_options)), batch_size=batch_size, device=device,
            progress=not quiet,
        )  # fmt: skip
    _print_tables(tables, folder)
    _print_units_aside(dissection, tables)
    sentences = {(row.site, row.unit): row.calibrated for row in tables.get("calibrated", ())}
    print_verdicts(*Verdicts.read(dissection).counts(sentences, "explanation"), "explanations")
    sites = evidence.sites or []
    site = sites[0] if sites and sites[0] in dissection.sites else dissection.sites[-1]
    first = (unit_indices(evidence.units) or [0])[0]
    print("a unit's card: " + command("show", folder, site, first))


@with_option_groups
def caption(
    data: Data,
    out: Annotated[Path, typer.Option(help="File to write: FILE.parquet. The same command goes on with it.")],
    captioner: Annotated[str, typer.Option(help="column:NAME, acoustic, transformers:REPO …")] = "column:caption",
    *,
    columns: AudioDataArguments,
    batch_size: BatchSize = 8,
    device: Device = None,
    quiet: QuietSteps = False,
) -> None:
    """Caption every clip of data before it is dissected, for `concept-scores --captions`."""
    from ..explain.describe.captions import caption_data

    quiet_transformers()
    with resumable():
        rows = caption_data(
            data, captioner, out=out, **vars(columns), batch_size=batch_size, device=device, progress=not quiet
        )
    print(f"captions: {_counted(rows)} ({out})")
    _print_reasons("captions", rows)


def _print_tables(tables: Mapping[str, Sequence[TableRow]], folder: Path) -> None:
    for name, rows in tables.items():
        print(f"{name}: {_counted(rows)} ({folder / 'explanations' / f'{name}.parquet'})")
    for name, rows in tables.items():
        _print_reasons(name, rows)


def _counted(rows: Sequence[TableRow]) -> str:
    failed = sum(1 for row in rows if getattr(row, "failure", None))
    return counted(len(rows), "row") + (f", {failed:,} with a failure" if failed else "")


def _print_reasons(name: str, rows: Sequence[TableRow]) -> None:
    """The commonest failures of a step: one line says more than a count."""
    failures = [getattr(row, "failure", None) for row in rows]
    reasons = Counter(failure for failure in failures if failure)
    for reason, count in reasons.most_common(2):
        print(f"  {name}, {counted(count, 'time')}: {plain(reason)}")


def _print_units_aside(dissection: Dissection, tables: Mapping[str, Sequence[TableRow]]) -> None:
    """How many other units keep an explanation that was made with other settings."""
    from ..explain.records.reading import units_aside

    aside = max((units_aside(dissection, name) for name in tables if name in _OF_UNITS), default=0)
    if aside:
        print(
            f"{counted(aside, 'other unit')} {agree(aside, 'was', 'were')} explained with other settings: kept in "
            f"{dissection.folder / 'explanations' / 'earlier'}; show and search still tell of "
            f"{agree(aside, 'it', 'them')}, and the same command without --units and --sites explains every unit alike"
        )
