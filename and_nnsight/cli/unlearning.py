"""`unlearn`: ablate the units of a concept, measure what that unlearns, and export the model without them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console

from ._output import clean, resumable

if TYPE_CHECKING:
    from ..dissection import Dissection
    from ..unlearn import Measured, UnitChoice

_CLASS_TABLES = 3


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command()(unlearn)


def unlearn(
    model: Annotated[str, typer.Argument(help="Hub id or local folder of the classifier that was dissected.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of its dissection, explained or labelled.")],
    concept: Annotated[list[str], typer.Option(help="What to unlearn, for example dog. Repeatable.")],
    data: Annotated[
        str | None,
        typer.Option(help="Labelled audio to measure by: other clips than those of DIR. Folder or hub dataset id."),
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(
            help="ocp: words of the explanations (default); db, tab, labels, icl: labels; correlation; random: as many "
            "units of every site as the first method's. Repeatable."
        ),
    ] = None,
    units: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Units of your own (a saved UnitChoice), instead of a method.")
    ] = None,
    count: Annotated[int | None, typer.Option(help="Exactly so many units: each method's best.", min=1)] = None,
    share: Annotated[float | None, typer.Option(help="This share of all units: each method's best.")] = None,
    sites: Annotated[
        list[str] | None, typer.Option(help="A site's name or glob. Repeatable. Default: all but the class logits.")
    ] = None,
    top: Annotated[int, typer.Option(help="db, tab, labels, icl: the concept is among so many labels.", min=1)] = 3,
    words: Annotated[str | None, typer.Option(help="ocp: words with commas. Default: those of the concept.")] = None,
    similarity: Annotated[
        str | None, typer.Option(help="Which labels, where there are several kinds; correlation: pearson, auprc …")
    ] = None,
    encoder: Annotated[str | None, typer.Option(help="Which labels, where several encoders made some.")] = None,
    target: Annotated[
        str | None, typer.Option("--class", help="The model's class that the concept is. Default: of its name.")
    ] = None,
    draws: Annotated[int, typer.Option(help="Random draws of as many units of every site beside each.", min=0)] = 5,
    how: Annotated[str, typer.Option(help="zero; mean (DIR was dissected with --pool mean); resample.")] = "zero",
    export: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Save a checkpoint without the units of the first method.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for what is measured; the same command goes on from there.")
    ] = None,
    overlap: Annotated[
        Literal["refuse", "exclude", "allow"], typer.Option(help="What to do with clips that are also in DIR.")
    ] = "refuse",
    bootstrap: Annotated[int, typer.Option(help="Replicates of the intervals.", min=0)] = 1000,
    seed: Annotated[int, typer.Option(help="Of draws, of ties, and of intervals.", min=0)] = 0,
    split: Annotated[str | None, typer.Option(help="Split of a dataset.")] = None,
    audio_column: Annotated[str, typer.Option(help="Column that holds the audio.")] = "audio",
    label_column: Annotated[str | None, typer.Option(help="Column that holds the label: the model's classes.")] = None,
    limit: Annotated[int | None, typer.Option(help="At most so many clips.")] = None,
    batch_size: Annotated[int, typer.Option(help="Clips a batch.", min=1)] = 16,
    rows: Annotated[
        int | None, typer.Option(help="Rows a forward: clips times ablations side by side. Default: 32, on a GPU 512.")
    ] = None,
    num_workers: Annotated[int, typer.Option(help="Processes that decode and make features.", min=0)] = 0,
    device: Annotated[str | None, typer.Option(help="For example cpu or cuda; default: a GPU if there is one.")] = None,
    dtype: Annotated[str | None, typer.Option(help="For example bfloat16; default: the checkpoint's.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar.")] = False,
) -> None:
    """Ablate the units of a concept and measure what is unlearned, beside random units of the same layers."""
    from ..dissection import Dissection
    from ..unlearn import UnitChoice, choose, measure
    from ..unlearn import export as save
    from ..unlearn.outcomes import as_classifier
    from .dissecting import quiet_transformers

    if data is None and export is None:
        raise ValueError("name --data to measure by, or --export to save the model without the units")
    if units is not None and (method or count is not None or share is not None):
        raise ValueError("--units are your own: leave --method, --count and --share out")
    if len(concept) > 1 and (units is not None or words is not None or target is not None or export is not None):
        raise ValueError("--units, --words, --class and --export are for one --concept")
    quiet_transformers()
    found = Dissection.load(folder)
    choices: list[UnitChoice] = []
    for name in concept:
        if units is not None:
            own = UnitChoice.load(units)
            choices.append(UnitChoice(own.units, own.method, name, own.settings))
            continue
        first: UnitChoice | None = None
        for chosen in method or ["ocp"]:
            by_chance = chosen == "random" and first is not None
            asked: dict[str, Any] = {"like": first} if by_chance else {"count": count, "share": share}
            choices.append(
                choose(
                    found, name, method=chosen, sites=sites, top=top, seed=seed, similarity=similarity,
                    encoder=encoder, words=None if words is None else words.split(","), **asked,
                )
            )  # fmt: skip
            first = first or choices[-1]
    console = Console()
    for choice in choices:
        console.print(_sentence(choice, found), soft_wrap=True)
    classifier = as_classifier(model, device, dtype)
    if export is not None:
        zeroed = save(classifier, choices[0], export)
        console.print(f"{clean(export)}: without those of {choices[0].method} ({len(zeroed)} parameters), for "
                      "from_pretrained", soft_wrap=True)  # fmt: skip
    if data is None:
        return
    with resumable():
        measured = measure(
            classifier, data, choices, found=found, draws=draws, how=how,
            targets=None if target is None else {concept[0]: target}, overlap=overlap, bootstrap=bootstrap, seed=seed,
            out=out, split=split, audio_column=audio_column, label_column=label_column, limit=limit,
            batch_size=batch_size, rows=rows, num_workers=num_workers, progress=not quiet,
        )  # fmt: skip
    _print(console, measured, several=len(concept) > 1)
    if out is not None:
        console.print(f"every clip's numbers: {clean(out)}", soft_wrap=True)


def _sentence(choice: UnitChoice, found: Dissection) -> str:
    words = choice.settings.get("words")
    by = f" ({clean('words: ' + ', '.join(words))})" if words else ""
    every = sum(found.widths().values())
    name, method = clean(choice.concept), clean(choice.method)
    return f"{name} by {method}{by}: {choice.count:,} of {every:,} units, at {len(choice.units)} sites"


def _print(console: Console, measured: Measured, several: bool) -> None:
    from ..unlearn.tables import choice_table, class_table, method_table

    outcomes = measured.outcomes
    console.print(f"\n{len(outcomes.clips):,} clips, accuracy {outcomes.accuracy():.1%} with nothing ablated")
    for reason, count in outcomes.left_out.items():
        console.print(f"  {count:,} more were left out: {reason}")
    if not several:
        for place in range(min(len(measured.choices), _CLASS_TABLES)):
            console.print(class_table(measured, place))
    console.print(choice_table(measured))
    console.print(choice_table(measured, "accuracy"))
    if several:
        console.print(method_table(measured))
    for row in measured.rows():
        if measured.draws and measured.bootstrap:
            console.print(_verdict(row), soft_wrap=True)


def _verdict(row: dict[str, Any]) -> str:
    """Whether chance is beaten: by the interval of the selectivity beyond the controls', and against every draw."""
    excess, draws = row["logit"]["excess"], len(row["logit"]["draws"])
    what = f"{clean(row['concept'])} by {clean(row['method'])}"
    if excess["low"] > 0 and row["logit"]["beaten"] == draws:
        return (
            f"{what}: harms the concept more than random units of the same layers do, in each of {draws} draws "
            f"(p = {row['logit']['p']:.2g}; no less is possible with so many)."
        )
    if excess["high"] < 0:
        return f"{what}: harms the concept [bold]less[/bold] than random units of the same layers do."
    return f"{what}: [bold]no better than chance[/bold]: random units of the same layers do as much."
