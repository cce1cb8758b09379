"""`label` and `concept-scores`."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from ..wording import agree, command, counted
from ._output import clean, plain, print_verdicts, resumable
from ._units import unit_indices

if TYPE_CHECKING:
    from ..explain.evaluate.verdicts import Verdicts
    from ..explain.records.claim_rows import LabelRow
    from ..statistics.concept_scores import ConceptScores

_SHOWN = 20
_CONCEPTS_HELP = "A file (one a line), a list with commas, or labels: the data's own."


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command()(label)
    app.command("concept-scores")(concept_scores)


def label(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a dissection.")],
    concepts: Annotated[
        str | None, typer.Option(help=f"{_CONCEPTS_HELP} Default: the concepts of --scores.", show_default=False)
    ] = None,
    method: Annotated[
        str, typer.Option(help="db: captions; tab: sounds; icl: a chat model chooses by summaries; labels: labels.")
    ] = "db",
    similarity: Annotated[
        str | None,
        typer.Option(
            help="cos, cos_cubed, rank_reorder, wpmi, soft_wpmi, pearson, auprc. Default: cos_cubed; tab: soft_wpmi."
        ),
    ] = None,
    scores: Annotated[Path | None, typer.Option(help="File that concept-scores made, instead of a method.")] = None,
    sites: Annotated[list[str] | None, typer.Option(help="A site's name or glob. Repeatable. Default: all.")] = None,
    units: Annotated[str | None, typer.Option(help="Indices: 5, 0:100, or 3,7,20:30. Default: all.")] = None,
    top: Annotated[int, typer.Option(help="Concepts a unit.", min=1)] = 5,
    text_encoder: Annotated[str, typer.Option(help="db and icl: words, sentence-transformers:REPO …")] = "words",
    audio_text_encoder: Annotated[str | None, typer.Option(help="tab: clap:REPO …")] = None,
    softmax: Annotated[
        float, typer.Option(help="db: sharpness of the softmax over concepts; 0: the cosine itself.", min=0)
    ] = 30.0,
    unions: Annotated[
        bool, typer.Option(help="Near concepts may be one label where no one of them stands out.")
    ] = True,
    chat: Annotated[str | None, typer.Option(help="icl: transformers:REPO, openai:MODEL, llm:MODEL …")] = None,
    max_tokens: Annotated[int, typer.Option(help="icl: longest answer.", min=1)] = 256,
    data: Annotated[
        str | None,
        typer.Option(help="tab: the data that was dissected, where its clips are not files of this machine."),
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Clips or conversations a batch.", min=1)] = 16,
    device: Annotated[str | None, typer.Option(help="For example cpu or cuda; default: a GPU if there is one.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bars.")] = False,
) -> None:
    """Say which concepts of a list each unit goes with best."""
    from ..dissection.dissection import Dissection
    from ..explain.evaluate.verdicts import Verdicts
    from ..explain.labels.concept_lists import concept_text
    from ..explain.labels.label import label as run
    from ..explain.roles import ChatOptions
    from ..statistics.concept_scores import ConceptScores
    from .dissect import quiet_transformers

    if (concepts is None) == (scores is None):
        raise ValueError("name either --concepts or a file of --scores")
    quiet_transformers()
    found = Dissection.load(folder)
    wanted = concepts if scores is None else ConceptScores.load(scores)
    assert wanted is not None
    with resumable():
        rows = run(
            found, wanted, method=method, similarity=similarity, top=top, sites=sites, units=unit_indices(units),
            text_encoder=text_encoder, audio_text_encoder=audio_text_encoder, softmax=softmax or None, unions=unions,
            chat=chat, options=ChatOptions(max_tokens=max_tokens), data=data, batch_size=batch_size, device=device,
            progress=not quiet,
        )  # fmt: skip
    verdicts = Verdicts.read(found)
    _print_most_confident(rows, verdicts)
    _print_summary(rows, folder)
    first = {(row.site, row.unit): row for row in rows if row.rank == 0 and row.concept is not None}
    if first:
        texts = {at: concept_text(row.concept or "") for at, row in first.items()}
        print_verdicts(*verdicts.counts(texts, next(iter(first.values())).source), "labels")


def concept_scores(
    data: Annotated[str, typer.Argument(help="Folder of audio (metadata.csv or .jsonl optional), or hub dataset id.")],
    concepts: Annotated[str, typer.Option(help=_CONCEPTS_HELP)],
    out: Annotated[Path, typer.Option(help="File to write: FILE.safetensors.")],
    method: Annotated[str, typer.Option(help="db: captions; tab: sounds; labels: labels.")] = "db",
    text_encoder: Annotated[str, typer.Option(help="db: words, sentence-transformers:REPO …")] = "words",
    audio_text_encoder: Annotated[str | None, typer.Option(help="tab: clap:REPO …")] = None,
    softmax: Annotated[
        float, typer.Option(help="db: sharpness of the softmax over concepts; 0: the cosine itself.", min=0)
    ] = 30.0,
    captions: Annotated[
        Path | None, typer.Option(help="db: Parquet file with the columns clip and caption. Default: the data's own.")
    ] = None,
    split: Annotated[str | None, typer.Option(help="Split of a dataset.")] = None,
    audio_column: Annotated[str, typer.Option(help="Column that holds the audio.")] = "audio",
    label_column: Annotated[str | None, typer.Option(help="Column that holds the label.")] = None,
    caption_column: Annotated[str | None, typer.Option(help="Column that holds the caption.")] = None,
    limit: Annotated[int | None, typer.Option(help="At most so many clips.")] = None,
    batch_size: Annotated[int, typer.Option(help="Clips or texts a batch.", min=1)] = 16,
    device: Annotated[str | None, typer.Option(help="For example cpu or cuda; default: a GPU if there is one.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bars.")] = False,
) -> None:
    """Score every clip for every concept, for `dissect --concepts` to compare units with."""
    from ..explain.labels.concept_scores import score_concepts
    from .dissect import quiet_transformers

    quiet_transformers()
    try:
        scores = score_concepts(
            data, concepts, method, text_encoder=text_encoder, audio_text_encoder=audio_text_encoder,
            softmax=softmax or None, captions=captions, split=split, audio_column=audio_column,
            label_column=label_column, caption_column=caption_column, limit=limit, batch_size=batch_size,
            device=device, progress=not quiet,
        )  # fmt: skip
    except KeyboardInterrupt:
        print("stopped; nothing was written", file=sys.stderr)
        raise typer.Exit(130) from None
    scores.save(out)
    print(f"{counted(len(scores.clips), 'clip')}, {counted(len(scores.names), 'concept')}: {out}")
    _print_best_clips(scores)
    print("next: " + command("dissect", "MODEL", data, "--out", "DIR", "--concepts", out))


def _print_most_confident(rows: list[LabelRow], verdicts: Verdicts) -> None:
    """The best-scored units, with the runner-up that tells how clear the choice was.

    A star marks a label that has been put to the test on held-out clips and does not hold.
    """
    from ..explain.labels.concept_lists import concept_text

    second = {(row.site, row.unit): row for row in rows if row.rank == 1}
    first = [row for row in rows if row.rank == 0 and row.concept is not None]
    first.sort(key=lambda row: -(row.score or 0.0))
    if not first:
        return
    headings = ("unit", "concept", "score", "next", "score")
    table = Table(*headings, title="Closest", title_justify="left", box=box.SIMPLE)
    for place in (2, 4):
        table.columns[place].justify = "right"
    table.columns[0].no_wrap = True  # the end of a site's name tells it from others
    starred = False
    for row in first[:_SHOWN]:
        other = second.get((row.site, row.unit))
        known = verdicts(row.site, row.unit, row.source, concept_text(row.concept or ""))
        star = "*" if known is not None and not known.holds else ""
        starred |= bool(star)
        concept = concept_text(row.concept or "") if row.members else row.concept or ""
        table.add_row(
            f"{clean(row.site)} {row.unit}", clean(concept) + star, f"{row.score:.3f}",
            clean(other.concept or "") if other else "", f"{other.score:.3f}" if other else "",
        )  # fmt: skip
    Console().print(table)
    if starred:
        print("* does not hold on held-out clips")


def _print_summary(rows: list[LabelRow], folder: Path) -> None:
    labelled = [row for row in rows if row.rank == 0 and row.concept is not None]
    bases = Counter(row.basis for row in labelled)
    unions = sum(1 for row in labelled if row.members)
    said = f", {unions:,} of them with a union of near concepts" if unions else ""
    print(f"{counted(len(labelled), 'unit')} labelled{said} ({folder / 'explanations' / 'labels.parquet'})")
    for basis, count in bases.most_common():
        note = ": a variant of the similarity over each unit's extreme clips" if basis == "top-K only" else ""
        print(f"  {count:,} from {basis}{note}")
    for reason, count in Counter(row.failure for row in rows if row.failure).most_common(3):
        print(f"  {count:,} without a label: {plain(reason)}")


def _print_best_clips(scores: ConceptScores) -> None:
    """For how many clips each concept is the closest: a list that does not suit the data shows here."""
    closest = Counter(scores.values.argmax(1).tolist())
    named = ", ".join(f"{plain(scores.names[which])} ({count:,})" for which, count in closest.most_common(5))
    rest = len(scores.names) - len(closest)
    print(f"closest to most clips: {named}; {counted(rest, 'concept')} {agree(rest, 'is', 'are')} closest to none")
