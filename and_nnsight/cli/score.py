"""`score`: whether what is said of units is true, on clips that had no part in saying it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from ..wording import agree, command, counted
from ._output import clean, plain, resumable
from ._units import unit_indices
from .listen import report_listening

if TYPE_CHECKING:
    from ..dissection.dissection import Dissection
    from ..explain.records.claim_rows import EffectRow, ScoreRow


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command()(score)


def score(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a dissection that has been explained.")],
    held_out: Annotated[
        Path,
        typer.Option(
            metavar="DIR2",
            help="Dissection of the same model and sites over other, captioned clips, made with --keep-activations.",
        ),
    ],
    text_encoder: Annotated[
        str, typer.Option(help="Compares what is said with captions: words, sentence-transformers:REPO …")
    ] = "words",
    chat: Annotated[
        str | None, typer.Option(help="Also asks a chat model which captions fit: transformers:REPO, openai:MODEL …")
    ] = None,
    listener: Annotated[
        str | None, typer.Option(help="Also lets it judge held-out clips by ear: clap:REPO, transformers:REPO …")
    ] = None,
    max_tokens: Annotated[int, typer.Option(help="Longest answer of the chat model.", min=1)] = 64,
    source: Annotated[
        list[str] | None,
        typer.Option(help="explanation, concepts or label. Repeatable. Default: explanation and label."),
    ] = None,
    share: Annotated[float, typer.Option(help="Share of the held-out clips on which a unit counts as firing.")] = 0.05,
    shuffles: Annotated[int, typer.Option(help="Random orders of the clips, which give p.", min=1)] = 999,
    level: Annotated[
        float, typer.Option(help="False-discovery rate, over all claims of a source, at which a claim holds.")
    ] = 0.05,
    seed: Annotated[int, typer.Option(help="Of the shuffles.", min=0)] = 0,
    sites: Annotated[list[str] | None, typer.Option(help="A site's name or glob. Repeatable. Default: all.")] = None,
    units: Annotated[str | None, typer.Option(help="Indices: 5, 0:100, or 3,7,20:30. Default: all.")] = None,
    data: Annotated[
        str | None, typer.Option(help="The data dissected in DIR, where its clips are not files of this machine.")
    ] = None,
    held_out_data: Annotated[str | None, typer.Option(help="Likewise for DIR2.")] = None,
    model: Annotated[
        str | None, typer.Option(help="The classifier that was dissected: also ablate units, one at a time.")
    ] = None,
    labelled: Annotated[
        str | None, typer.Option(help="Labelled audio to measure that by: other clips than those of DIR.")
    ] = None,
    label_column: Annotated[str | None, typer.Option(help="Column that holds the label.")] = None,
    method: Annotated[str, typer.Option(help="Labels to ablate by: db, tab, labels or icl.")] = "db",
    most: Annotated[int, typer.Option(help="Units to ablate: those whose labels score highest.", min=1)] = 50,
    controls: Annotated[int, typer.Option(help="Other units of the same site beside each.", min=1)] = 20,
    device: Annotated[str | None, typer.Option(help="For example cpu or cuda.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bars.")] = False,
) -> None:
    """Test what is said of units on other clips, against loudness, duration, silence and brightness alone."""
    from dataclasses import replace

    from ..dissection.dissection import Dissection
    from ..explain import score as run
    from ..explain.evaluate.detection import DEFAULT_OPTIONS
    from .dissect import quiet_transformers

    if (model is None) != (labelled is None):
        raise ValueError("to ablate units, give both --model and --labelled, clips with the model's classes as labels")
    quiet_transformers()
    found = Dissection.load(folder)
    with resumable():
        rows = run(
            found, Dissection.load(held_out), text_encoder=text_encoder, chat=chat, listener=listener,
            options=replace(DEFAULT_OPTIONS, max_tokens=max_tokens), sources=source, share=share, shuffles=shuffles,
            level=level, seed=seed, sites=sites, units=unit_indices(units), data=data, held_out_data=held_out_data,
            device=device, progress=not quiet,
        )  # fmt: skip
    if not rows:
        print("nothing is said of these units that could be scored")
    else:
        _report(found, rows)
    if listener is not None:
        report_listening(found)
    if model is not None:
        from ..unlearn import label_effects

        with resumable():
            effects = label_effects(
                model, labelled, found, method=method, sites=sites, units=unit_indices(units), most=most,
                controls=controls, label_column=label_column, device=device, seed=seed, progress=not quiet,
            )  # fmt: skip
        _report_effects(found, effects)


def _report(found: Dissection, rows: list[ScoreRow]) -> None:
    from ..explain.evaluate.verdicts import ACOUSTICS, verdict

    folder = found.folder
    by_source: dict[str, list[ScoreRow]] = {}
    for row in rows:
        by_source.setdefault(row.source, []).append(row)
    for said_by in sorted(by_source):
        Console().print(_summary(found, said_by, by_source[said_by]))
    predict = [row for row in rows if row.predicts]
    best = [row for row in predict if row.beyond_acoustics]
    print(
        f"{len(predict):,} of {len(rows):,} predict their clips (false-discovery rate {rows[0].level:g}), "
        f"{len(best):,} of them more than {ACOUSTICS} do: these hold ({folder / 'explanations' / 'scores.parquet'})"
    )
    distinctive = sum(verdict(row).distinctive for row in best)
    print(f"{distinctive:,} of these do so better than 19 in 20 claims about other units")
    for reason, count in Counter(row.failure for row in rows if row.failure).most_common(3):
        print(f"  {count:,} not judged: {plain(reason)}")
    for reason, count in Counter(row.detection_failure for row in rows if row.detection_failure).most_common(2):
        print(f"  {count:,} without an answer: {plain(reason)}")
    if best:
        first = max(best, key=lambda row: row.auprc or 0.0)
        print("a unit's card: " + command("show", folder, first.site, first.unit))


def _report_effects(found: Dissection, rows: list[EffectRow]) -> None:
    """The units that were ablated, most selective first, and how many stand out of their controls."""
    table = Table(
        "unit", "label", "own clips", "others", "excess", "p",
        title="Ablated: change of the label's logit (excess: more selective than other units)",
        title_justify="left", box=box.SIMPLE,
    )  # fmt: skip
    table.columns[0].no_wrap = True
    for column in table.columns[2:]:
        column.justify = "right"
    measured = [row for row in rows if row.failure is None]
    for row in sorted(measured, key=lambda row: -(row.excess or 0.0))[:10]:
        numbers = [f"{getattr(row, name):+.2g}" for name in ("own", "others", "excess")]
        table.add_row(clean(f"{row.site} {row.unit}"), clean(row.concept), *numbers, f"{row.p:.2g}")
    if measured:
        Console().print(table)
        first = sum(1 for row in measured if (row.p or 0.0) <= 1 / (1 + row.controls))
        above = sum(1 for row in measured if (row.excess or 0.0) > 0)
        print(
            f"of {counted(len(measured), 'unit')}, {above:,} {agree(above, 'takes', 'take')} more from their label's "
            f"class than other units of their site do on average, {first:,} more than every one of them "
            f"({found.folder / 'explanations' / 'causal.parquet'})"
        )
    for reason, count in Counter(row.failure for row in rows if row.failure).most_common(3):
        print(f"  {count:,} not measured: {plain(reason)}")


def _summary(found: Dissection, source: str, rows: list[ScoreRow]) -> Table:
    """A line a site, in forward order: how many claims of a source predict their clips, how many hold; the medians."""
    asked = any(row.detection is not None for row in rows)
    columns = [
        "site",
        "scored",
        "predict",
        "hold",
        "AUPRC",
        "null",
        "chance",
        "Pearson",
        "null",
        *(["asked"] if asked else []),
    ]
    table = Table(
        *columns, title=f"By {clean(_kind(source))}, held out (medians)", title_justify="left", box=box.SIMPLE,
        padding=0,
    )  # fmt: skip
    for column in table.columns:
        column.no_wrap = True  # the end of a site's name tells it from others
        column.justify = "right" if column is not table.columns[0] else "left"
    groups: dict[str, list[ScoreRow]] = {}
    for row in rows:
        groups.setdefault(row.site, []).append(row)
    for site in sorted(groups, key=found.sites.index):
        group = groups[site]
        predict, hold = (
            f"{sum(1 for row in group if getattr(row, answer)) / len(group):.0%}"
            for answer in ("predicts", "beyond_acoustics")
        )
        cells = [clean(site), f"{len(group):,}", predict, hold]
        cells += [_median(group, name) for name in ("auprc", "null_auprc", "base_rate", "pearson", "null_pearson")]
        table.add_row(*cells, *([_median(group, "detection")] if asked else []))
    return table


def _kind(source: str) -> str:
    """A source without the hash of the list of concepts, which says nothing to a person."""
    kind, *way = source.split(" ")
    return " ".join([kind, *way[:2]])


def _median(rows: list[ScoreRow], name: str) -> str:
    values = [getattr(row, name) for row in rows if getattr(row, name) is not None]
    return f"{median(values):.2f}" if values else ""
