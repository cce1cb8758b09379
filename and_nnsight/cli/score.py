"""`score`: whether what is said of units is true, on clips that had no part in saying it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ._listening_report import report_listening
from ._option_groups import with_option_groups
from ._options import ExplainedFolder, LabelColumn, QuietSteps, Sites, Units
from ._output import quiet_transformers, resumable
from ._score_report import report_effects, report_scores
from ._units import unit_indices

if TYPE_CHECKING:
    from ..dissection.dissection import Dissection
    from ..explain.records.claim_rows import EffectRow


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command()(score)


@dataclass(frozen=True, kw_only=True)
class JudgeArguments:
    """What judges claims."""

    text_encoder: Annotated[
        str, typer.Option(help="Compares what is said with captions: words, sentence-transformers:REPO …")
    ] = "words"
    chat: Annotated[
        str | None, typer.Option(help="Also asks a chat model which captions fit: transformers:REPO, openai:MODEL …")
    ] = None
    listener: Annotated[
        str | None, typer.Option(help="Also lets it judge held-out clips by ear: clap:REPO, transformers:REPO …")
    ] = None
    max_tokens: Annotated[int, typer.Option(help="Longest answer of the chat model.", min=1)] = 64


@dataclass(frozen=True, kw_only=True)
class ClaimArguments:
    """Which claims are tested, of which units, and how strictly."""

    source: Annotated[
        list[str] | None,
        typer.Option(help="explanation, concepts or label. Repeatable. Default: explanation and label."),
    ] = None
    share: Annotated[float, typer.Option(help="Share of the held-out clips on which a unit counts as firing.")] = 0.05
    shuffles: Annotated[int, typer.Option(help="Random orders of the clips, which give p.", min=1)] = 999
    level: Annotated[
        float, typer.Option(help="False-discovery rate, over all claims of a source, at which a claim holds.")
    ] = 0.05
    seed: Annotated[int, typer.Option(help="Of the shuffles.", min=0)] = 0
    sites: Sites = None
    units: Units = None


@dataclass(frozen=True, kw_only=True)
class ClipPlaces:
    """Where the clips of the two dissections are."""

    data: Annotated[
        str | None, typer.Option(help="The data dissected in DIR, where its clips are not files of this machine.")
    ] = None
    held_out_data: Annotated[str | None, typer.Option(help="Likewise for DIR2.")] = None


@dataclass(frozen=True, kw_only=True)
class AblationArguments:
    """Which units are ablated as well, in which model, and what that is measured by."""

    model: Annotated[
        str | None, typer.Option(help="The classifier that was dissected: also ablate units, one at a time.")
    ] = None
    labelled: Annotated[
        str | None, typer.Option(help="Labelled audio to measure that by: other clips than those of DIR.")
    ] = None
    label_column: LabelColumn = None
    method: Annotated[str, typer.Option(help="Labels to ablate by: db, tab, labels or icl.")] = "db"
    most: Annotated[int, typer.Option(help="Units to ablate: those whose labels score highest.", min=1)] = 50
    controls: Annotated[int, typer.Option(help="Other units of the same site beside each.", min=1)] = 20

    @property
    def wanted(self) -> bool:
        """Whether units are to be ablated. Raises ValueError where only half of what that needs is named."""
        if (self.model is None) != (self.labelled is None):
            raise ValueError(
                "to ablate units, give both --model and --labelled, clips with the model's classes as labels"
            )
        return self.model is not None


@with_option_groups
def score(
    folder: ExplainedFolder,
    held_out: Annotated[
        Path,
        typer.Option(
            metavar="DIR2",
            help="Dissection of the same model and sites over other, captioned clips, made with --keep-activations.",
        ),
    ],
    judges: JudgeArguments,
    claims: ClaimArguments,
    places: ClipPlaces,
    ablation: AblationArguments,
    device: Annotated[str | None, typer.Option(help="For example cpu or cuda.")] = None,
    quiet: QuietSteps = False,
) -> None:
    """Test what is said of units on other clips, against loudness, duration, silence and brightness alone."""
    from dataclasses import replace

    from ..dissection.dissection import Dissection
    from ..explain import score as run
    from ..explain.evaluate.detection import DEFAULT_OPTIONS

    ablates = ablation.wanted
    quiet_transformers()
    dissection = Dissection.load(folder)
    with resumable():
        rows = run(
            dissection, Dissection.load(held_out), text_encoder=judges.text_encoder, chat=judges.chat,
            listener=judges.listener, options=replace(DEFAULT_OPTIONS, max_tokens=judges.max_tokens),
            sources=claims.source, share=claims.share, shuffles=claims.shuffles, level=claims.level, seed=claims.seed,
            sites=claims.sites, units=unit_indices(claims.units), **vars(places), device=device, progress=not quiet,
        )  # fmt: skip
    if rows:
        report_scores(dissection, rows)
    else:
        print("nothing is said of these units that could be scored")
    if judges.listener is not None:
        report_listening(dissection)
    if ablates:
        report_effects(dissection, _label_effects(dissection, claims, ablation, device, quiet))


def _label_effects(
    dissection: Dissection, claims: ClaimArguments, ablation: AblationArguments, device: str | None, quiet: bool
) -> list[EffectRow]:
    from ..unlearn import label_effects

    with resumable():
        return label_effects(
            ablation.model, ablation.labelled, dissection, method=ablation.method, sites=claims.sites,
            units=unit_indices(claims.units), most=ablation.most, controls=ablation.controls,
            label_column=ablation.label_column, device=device, seed=claims.seed, progress=not quiet,
        )  # fmt: skip
