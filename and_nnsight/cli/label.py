"""`label`."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from ..wording import counted
from ._option_groups import with_option_groups
from ._options import (
    CONCEPTS_HELP,
    AsJson,
    AudioTextEncoder,
    ConversationBatchSize,
    Device,
    DissectionFolder,
    QuietSteps,
    Sites,
    Softmax,
    Units,
)
from ._output import clean, plain, print_rows, print_verdicts, quiet_transformers, resumable
from ._units import unit_indices

if TYPE_CHECKING:
    from ..explain.evaluate.verdicts import Verdicts
    from ..explain.records.claim_rows import LabelRow
    from ..statistics.concept_scores import ConceptScores

_MOST_SHOWN = 20


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command()(label)


@dataclass(frozen=True, kw_only=True)
class LabelArguments:
    """Which labels are made: of which concepts, by which method and similarity."""

    concepts: Annotated[
        str | None, typer.Option(help=f"{CONCEPTS_HELP} Default: the concepts of --scores.", show_default=False)
    ] = None
    method: Annotated[
        str, typer.Option(help="db: captions; tab: sounds; icl: a chat model chooses by summaries; labels: labels.")
    ] = "db"
    similarity: Annotated[
        str | None,
        typer.Option(
            help="cos, cos_cubed, rank_reorder, wpmi, soft_wpmi, pearson, auprc. Default: cos_cubed; tab: soft_wpmi."
        ),
    ] = None
    scores: Annotated[Path | None, typer.Option(help="File that concept-scores made, instead of a method.")] = None

    def list_of_concepts(self) -> str | ConceptScores:
        """What `label` takes as concepts. Raises ValueError unless either concepts or a file of scores is named."""
        if self.concepts is not None and self.scores is None:
            return self.concepts
        if self.scores is not None and self.concepts is None:
            from ..statistics.concept_scores import ConceptScores

            return ConceptScores.load(self.scores)
        raise ValueError("name either --concepts or a file of --scores")


@dataclass(frozen=True, kw_only=True)
class UnitArguments:
    """Which units are labelled, and with how many concepts."""

    sites: Sites = None
    units: Units = None
    top: Annotated[int, typer.Option(help="Concepts a unit.", min=1)] = 5


@dataclass(frozen=True, kw_only=True)
class ModelArguments:
    """What compares clips and concepts."""

    text_encoder: Annotated[str, typer.Option(help="db and icl: words, sentence-transformers:REPO …")] = "words"
    audio_text_encoder: AudioTextEncoder = None
    softmax: Softmax = 30.0
    unions: Annotated[bool, typer.Option(help="Near concepts may be one label where no one of them stands out.")] = True
    chat: Annotated[str | None, typer.Option(help="icl: transformers:REPO, openai:MODEL, llm:MODEL …")] = None
    max_tokens: Annotated[int, typer.Option(help="icl: longest answer.", min=1)] = 256
    data: Annotated[
        str | None,
        typer.Option(help="tab: the data that was dissected, where its clips are not files of this machine."),
    ] = None


@with_option_groups
def label(
    folder: DissectionFolder,
    kind: LabelArguments,
    units: UnitArguments,
    models: ModelArguments,
    batch_size: ConversationBatchSize = 16,
    device: Device = None,
    quiet: QuietSteps = False,
    as_json: AsJson = False,
) -> None:
    """Say which concepts of a list each unit goes with best."""
    from ..dissection.dissection import Dissection
    from ..explain import ChatOptions
    from ..explain import label as run
    from ..explain.evaluate.verdicts import Verdicts

    concepts = kind.list_of_concepts()
    quiet_transformers()
    dissection = Dissection.load(folder)
    with resumable():
        rows = run(
            dissection, concepts, method=kind.method, similarity=kind.similarity, top=units.top, sites=units.sites,
            units=unit_indices(units.units), text_encoder=models.text_encoder,
            audio_text_encoder=models.audio_text_encoder, softmax=models.softmax or None, unions=models.unions,
            chat=models.chat, options=ChatOptions(max_tokens=models.max_tokens), data=models.data,
            batch_size=batch_size, device=device, progress=not quiet,
        )  # fmt: skip
    if as_json:
        print_rows(rows)
        return
    verdicts = Verdicts.read(dissection)
    labels = [row for row in rows if row.rank == 0 and row.concept is not None]
    if labels:
        _print_most_confident(labels, rows, verdicts)
    _print_summary(labels, rows, folder)
    if labels:
        _print_label_verdicts(labels, verdicts)


def _print_most_confident(labels: list[LabelRow], rows: list[LabelRow], verdicts: Verdicts) -> None:
    """The best-scored labels, with the runner-up that tells how clear the choice was.

    A star marks a label that has been put to the test on held-out clips and does not hold.
    """
    runners_up = {(row.site, row.unit): row for row in rows if row.rank == 1}
    headings = ("unit", "concept", "score", "next", "score")
    table = Table(*headings, title="Closest", title_justify="left", box=box.SIMPLE)
    for place in (2, 4):
        table.columns[place].justify = "right"
    for place in (1, 3):
        table.columns[place].overflow = "fold"  # what a name ends in may be all that tells it from others
    table.columns[0].no_wrap = True  # the end of a site's name tells it from others
    shown = sorted(labels, key=lambda row: -(row.score or 0.0))[:_MOST_SHOWN]
    stars = [_star(row, verdicts) for row in shown]
    for row, star in zip(shown, stars, strict=True):
        runner_up = runners_up.get((row.site, row.unit))
        next_cells = (clean(runner_up.concept or ""), f"{runner_up.score:.3f}") if runner_up else ("", "")
        unit = f"{clean(row.site)} {row.unit}"
        table.add_row(unit, clean(_concept(row)) + star, f"{row.score:.3f}", *next_cells)
    Console().print(table)
    if any(stars):
        print("* does not hold on held-out clips")


def _star(row: LabelRow, verdicts: Verdicts) -> str:
    from ..explain.labels.concept_lists import concept_text

    verdict = verdicts(row.site, row.unit, row.source, concept_text(row.concept or ""))
    return "" if verdict is None or verdict.holds else "*"


def _concept(row: LabelRow) -> str:
    """A concept as the list has it; a union in words."""
    from ..explain.labels.concept_lists import concept_text

    return concept_text(row.concept or "") if row.members else row.concept or ""


def _print_summary(labels: list[LabelRow], rows: list[LabelRow], folder: Path) -> None:
    unions = sum(1 for row in labels if row.members)
    of_unions = f", {unions:,} of them with a union of near concepts" if unions else ""
    print(f"{counted(len(labels), 'unit')} labelled{of_unions} ({folder / 'explanations' / 'labels.parquet'})")
    for basis, count in Counter(row.basis for row in labels).most_common():
        note = ": a variant of the similarity over each unit's extreme clips" if basis == "top-K only" else ""
        print(f"  {count:,} from {basis}{note}")
    for reason, count in Counter(row.failure for row in rows if row.failure).most_common(3):
        print(f"  {count:,} without a label: {plain(reason)}")


def _print_label_verdicts(labels: list[LabelRow], verdicts: Verdicts) -> None:
    from ..explain.labels.concept_lists import concept_text

    texts = {(row.site, row.unit): concept_text(row.concept or "") for row in labels}
    print_verdicts(*verdicts.counts(texts, labels[0].source), "labels")
