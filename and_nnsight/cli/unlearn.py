"""`unlearn`: ablate the units of a concept, measure what that unlearns, and export the model without them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console

from ._option_groups import with_option_groups
from ._options import AudioColumn, BatchSize, Device, Dtype, Limit, Quiet, Split
from ._output import clean, quiet_transformers, resumable
from ._unlearn_report import print_choices, print_measurement

if TYPE_CHECKING:
    from ..dissection.dissection import Dissection
    from ..unlearn import UnitChoice


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command()(unlearn)


@dataclass(frozen=True, kw_only=True)
class SelectionArguments:
    """Which units go with a concept."""

    method: Annotated[
        list[str] | None,
        typer.Option(
            help="ocp: captions of a unit's highest clips, and of all where activations were kept (default); "
            "ocp_exemplars: of those clips alone; db, tab, labels, icl: labels; db_top5, labels_top5: by five clips; "
            "correlation; frequency, entropy, deviation, contrast: activations of all clips (--keep-activations); "
            "random: as many units of every site as the first's."
        ),
    ] = None
    units: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Units of your own (a saved UnitChoice), instead of a method.")
    ] = None
    whole: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SITE",
            help="All units of a site (a name, glob or preset), instead of a method, beside other sites of its kind.",
        ),
    ] = None
    count: Annotated[int | None, typer.Option(help="Exactly so many units: each method's best.", min=1)] = None
    share: Annotated[
        float | None, typer.Option(help="This share of all units, for example 0.05: each method's best.")
    ] = None
    sites: Annotated[
        list[str] | None,
        typer.Option(
            help="A site's name, glob or preset. Repeatable. Default: all but class logits, sums, and neurons twice."
        ),
    ] = None
    top: Annotated[int, typer.Option(help="db, tab, labels, icl: the concept is among so many labels.", min=1)] = 3
    words: Annotated[str | None, typer.Option(help="ocp: what captions call it, with commas. Default: its name.")] = (
        None
    )
    similarity: Annotated[
        str | None, typer.Option(help="Which labels, where there are several kinds; correlation: pearson, auprc …")
    ] = None
    encoder: Annotated[str | None, typer.Option(help="Which labels, where several encoders made some.")] = None

    def check(self) -> None:
        """Raise ValueError for options that go against each other."""
        if self.units is not None and self.whole:
            raise ValueError("--units and --whole both say which units: leave one out")
        named = "--units" if self.units is not None else "--whole"
        own = self.units is not None or self.whole
        if own and (self.method or self.count is not None or self.share is not None):
            raise ValueError(f"{named} are your own: leave --method, --count and --share out")

    def choices(self, model: str, dissection: Dissection, concept: str, seed: int) -> list[UnitChoice]:
        """A choice of units for each method; of the units in a file, or of whole sites, just that one."""
        from ..model.opening import without_weights
        from ..unlearn import UnitChoice

        if self.whole:
            return [UnitChoice.whole(without_weights(model).sites(*self.whole), concept)]
        if self.units is not None:
            own = UnitChoice.load(self.units)
            return [UnitChoice(own.units, own.method, concept, own.settings)]
        choices: list[UnitChoice] = []
        for method in self.method or ["ocp"]:
            choices.append(self._choice(dissection, concept, method, seed, choices[0] if choices else None))
        return choices

    def _choice(
        self, dissection: Dissection, concept: str, method: str, seed: int, first: UnitChoice | None
    ) -> UnitChoice:
        """The units by one method: random ones as many of every site as the first's, if there is one."""
        from ..unlearn import choose

        size: dict[str, Any] = {"count": self.count, "share": self.share}
        if method == "random" and first is not None:
            size = {"like": first}
        return choose(
            dissection, concept, method=method, sites=self.sites, top=self.top, seed=seed, similarity=self.similarity,
            encoder=self.encoder, words=None if self.words is None else self.words.split(","), **size,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class MeasureArguments:
    """What becomes of the units, and how that is measured."""

    target: Annotated[
        str | None, typer.Option("--class", help="The model's class that the concept is. Default: of its name.")
    ] = None
    draws: Annotated[int, typer.Option(help="Random draws of as many units of every site beside each.", min=0)] = 20
    how: Annotated[
        str, typer.Option(help="zero; mean (DIR was dissected with --pool mean); resample; amplify (by --gain).")
    ] = "zero"
    gain: Annotated[
        float | None, typer.Option(help="amplify: what the units' activations are multiplied by, for example 2.")
    ] = None
    export: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Save a checkpoint without the units of the first method (or amplified)."),
    ] = None
    out: Annotated[
        Path | None, typer.Option(help="Folder for what is measured; the same command goes on from there.")
    ] = None
    overlap: Annotated[
        Literal["refuse", "exclude", "allow"], typer.Option(help="What to do with clips that are also in DIR.")
    ] = "refuse"
    bootstrap: Annotated[int, typer.Option(help="Replicates of the intervals.", min=0)] = 1000
    seed: Annotated[int, typer.Option(help="Of draws, of ties, and of intervals.", min=0)] = 0

    def check(self) -> None:
        """Raise ValueError for options that go against each other."""
        from ..unlearn.interventions import Intervention

        Intervention(self.how, self.gain, self.seed)  # which says what is wrong with them
        if self.export is not None and self.how not in ("zero", "amplify"):
            raise ValueError(
                f"--export holds units at zero or amplified, not --how {self.how}: leave it out, or --export"
            )

    def keywords(self, concept: str) -> dict[str, Any]:
        """What `measure` takes them as."""
        names = ("draws", "how", "gain", "out", "overlap", "bootstrap", "seed")
        targets = None if self.target is None else {concept: self.target}
        return {"targets": targets} | {name: getattr(self, name) for name in names}


@dataclass(frozen=True, kw_only=True)
class LabelledDataArguments:
    """What of the labelled data is read."""

    split: Split = None
    audio_column: AudioColumn = "audio"
    label_column: Annotated[str | None, typer.Option(help="Column that holds the label: the model's classes.")] = None
    limit: Limit = None


@dataclass(frozen=True, kw_only=True)
class RunArguments:
    """How the passes are run."""

    batch_size: BatchSize = 16
    rows: Annotated[
        int | None, typer.Option(help="Rows a forward: clips times ablations side by side. Default: 32, on a GPU 512.")
    ] = None
    num_workers: Annotated[int, typer.Option(help="Processes that decode and make features.", min=0)] = 0
    device: Device = None
    dtype: Dtype = None
    quiet: Quiet = False

    def keywords(self) -> dict[str, Any]:
        """What `measure` takes them as; device and dtype are the model's already."""
        return {
            "batch_size": self.batch_size,
            "rows": self.rows,
            "num_workers": self.num_workers,
            "progress": not self.quiet,
        }


@with_option_groups
def unlearn(
    model: Annotated[str, typer.Argument(help="Hub id or local folder of the classifier that was dissected.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of its dissection, explained or labelled.")],
    concept: Annotated[list[str], typer.Option(help="What to unlearn, for example dog. Repeatable.")],
    data: Annotated[
        str | None,
        typer.Option(help="Labelled audio to measure by: other clips than those of DIR. Folder or hub dataset id."),
    ] = None,
    *,
    selection: SelectionArguments,
    measuring: MeasureArguments,
    columns: LabelledDataArguments,
    options: RunArguments,
) -> None:
    """Ablate or amplify the units of a concept and measure what that does, beside random units of the same layers."""
    from ..dissection.dissection import Dissection
    from ..unlearn import measure
    from ..unlearn.classes import as_classifier

    _check(concept, data, selection, measuring)
    quiet_transformers()
    dissection = Dissection.load(folder)
    choices = [choice for name in concept for choice in selection.choices(model, dissection, name, measuring.seed)]
    console = Console()
    print_choices(console, choices, dissection)
    classifier = as_classifier(model, options.device, options.dtype)
    if data is not None:  # first: nothing is written where the data is refused
        with resumable():
            measurement = measure(
                classifier, data, choices, dissection=dissection, **measuring.keywords(concept[0]), **vars(columns),
                **options.keywords(),
            )  # fmt: skip
        print_measurement(console, measurement, several=len(concept) > 1)
        if measuring.out is not None:
            console.print(f"every clip's numbers: {clean(measuring.out)}", soft_wrap=True)
    if measuring.export is not None:
        _export(console, classifier, choices[0], measuring.export, measuring.gain)


def _check(
    concepts: Sequence[str], data: str | None, selection: SelectionArguments, measuring: MeasureArguments
) -> None:
    """Raise ValueError for options that go against each other."""
    measuring.check()
    if data is None and measuring.export is None:
        raise ValueError("name --data to measure by, or --export to save the model without the units")
    selection.check()
    of_one = (selection.units, selection.words, measuring.target, measuring.export)
    if len(concepts) > 1 and any(option is not None for option in of_one):
        raise ValueError("--units, --words, --class and --export are for one --concept")


def _export(console: Console, classifier: Any, choice: UnitChoice, path: Path, gain: float | None) -> None:
    from ..unlearn import export

    scaled = export(classifier, choice, path, gain=0.0 if gain is None else gain)
    what = "without those" if gain is None else f"with those amplified by {gain:g}"
    saved = f"{clean(path)}: {what} of {choice.method} ({len(scaled)} parameters), for from_pretrained"
    console.print(saved, soft_wrap=True)
