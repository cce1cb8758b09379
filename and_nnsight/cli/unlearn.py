"""`unlearn`: ablate the units of a concept, measure what that unlearns, and export the model without them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console

from ..wording import counted
from ._output import clean, resumable

if TYPE_CHECKING:
    from ..dissection.dissection import Dissection
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
            help="ocp: captions of a unit's highest clips, and of all where activations were kept (default); "
            "ocp_exemplars: of those clips alone; db, tab, labels, icl: labels; db_top5, labels_top5: by five clips; "
            "correlation; frequency, entropy, deviation, contrast: activations of all clips (--keep-activations); "
            "random: as many units of every site as the first's."
        ),
    ] = None,
    units: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Units of your own (a saved UnitChoice), instead of a method.")
    ] = None,
    count: Annotated[int | None, typer.Option(help="Exactly so many units: each method's best.", min=1)] = None,
    share: Annotated[
        float | None, typer.Option(help="This share of all units, for example 0.05: each method's best.")
    ] = None,
    sites: Annotated[
        list[str] | None,
        typer.Option(help="A site's name or glob. Repeatable. Default: all but class logits, sums, and neurons twice."),
    ] = None,
    top: Annotated[int, typer.Option(help="db, tab, labels, icl: the concept is among so many labels.", min=1)] = 3,
    words: Annotated[
        str | None, typer.Option(help="ocp: what captions call it, with commas. Default: its name.")
    ] = None,
    similarity: Annotated[
        str | None, typer.Option(help="Which labels, where there are several kinds; correlation: pearson, auprc …")
    ] = None,
    encoder: Annotated[str | None, typer.Option(help="Which labels, where several encoders made some.")] = None,
    target: Annotated[
        str | None, typer.Option("--class", help="The model's class that the concept is. Default: of its name.")
    ] = None,
    draws: Annotated[int, typer.Option(help="Random draws of as many units of every site beside each.", min=0)] = 20,
    how: Annotated[
        str, typer.Option(help="zero; mean (DIR was dissected with --pool mean); resample; amplify (by --gain).")
    ] = "zero",
    gain: Annotated[
        float | None, typer.Option(help="amplify: what the units' activations are multiplied by, for example 2.")
    ] = None,
    export: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Save a checkpoint without the units of the first method (or amplified)."),
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
    """Ablate or amplify the units of a concept and measure what that does, beside random units of the same layers."""
    from ..dissection.dissection import Dissection
    from ..unlearn import UnitChoice, choose, measure
    from ..unlearn import export as save
    from ..unlearn.classes import as_classifier
    from ..unlearn.interventions import Intervention
    from .dissect import quiet_transformers

    Intervention(how, gain, seed)  # which says what is wrong with them
    if export is not None and how not in ("zero", "amplify"):
        raise ValueError(f"--export holds units at zero or amplified, not --how {how}: leave it out, or --export")
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
    if data is not None:  # first: nothing is written where the data is refused
        with resumable():
            measured = measure(
                classifier, data, choices, found=found, draws=draws, how=how, gain=gain,
                targets=None if target is None else {concept[0]: target}, overlap=overlap, bootstrap=bootstrap,
                seed=seed, out=out, split=split, audio_column=audio_column, label_column=label_column, limit=limit,
                batch_size=batch_size, rows=rows, num_workers=num_workers, progress=not quiet,
            )  # fmt: skip
        _print(console, measured, several=len(concept) > 1)
        if out is not None:
            console.print(f"every clip's numbers: {clean(out)}", soft_wrap=True)
    if export is not None:
        scaled = save(classifier, choices[0], export, gain=0.0 if gain is None else gain)
        what = "without those" if gain is None else f"with those amplified by {gain:g}"
        console.print(f"{clean(export)}: {what} of {choices[0].method} ({len(scaled)} parameters), for "
                      "from_pretrained", soft_wrap=True)  # fmt: skip


def _sentence(choice: UnitChoice, found: Dissection) -> str:
    name, method = clean(choice.concept), clean(choice.method)
    every = choice.settings.get("of") or sum(found.widths().values())
    said = f"{name} by {method}: {choice.count:,} of {counted(every, 'unit')}, at {counted(len(choice.units), 'site')}"
    if unsaid := choice.settings.get("in_no_caption"):
        phrases = " or ".join(choice.settings["phrases"])
        said += f" (no caption says {clean(', '.join(unsaid))}: captions with {clean(phrases)} count)"
    return said


def _print(console: Console, measured: Measured, several: bool) -> None:
    from ..unlearn.display import choice_table, class_table, method_table

    outcomes = measured.outcomes
    console.print(f"\n{counted(len(outcomes.clips), 'clip')}, accuracy {outcomes.accuracy():.1%} with nothing ablated")
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
    """Whether chance is beaten: by the prediction interval of the selectivity beyond that of the controls."""
    excess, draws = row["logit"]["excess"], len(row["logit"]["draws"])
    what = f"{clean(row['concept'])} by {clean(row['method'])}"
    if excess["low"] is None:
        return f"{what}: two random draws at least tell whether this is chance (--draws)."
    if excess["low"] > 0:
        p = f"p = {row['logit']['p']:.2g}, with so many at least {1 / (1 + draws):.2g}"
        return (
            f"{what}: lowers the concept against the others more than random units of the same layers do; "
            f"{row['logit']['beaten']} of {draws} draws do less ({p})."
        )
    if excess["high"] < 0:
        return f"{what}: [bold]raises[/bold] the concept against the others, beside random units of the same layers."
    return f"{what}: [bold]no better than chance[/bold]: random units of the same layers do as much."
