"""`findings`: the paper's findings over a dissection that has been explained, as tables and figures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..findings.names import (
    ACCURACY_BY_WORD_TYPE,
    ADJECTIVES_PER_LAYER,
    FINDINGS,
    KINDS,
    UNINTERPRETABLE_UNITS,
    UNITS_PER_ADJECTIVE,
)
from ._option_groups import with_option_groups
from ._options import AudioColumn, BatchSize, Device, ExplainedFolder, LabelColumn, Limit, NumWorkers, Quiet, Split
from ._output import plain, quiet_transformers, resumable

if TYPE_CHECKING:
    from ..findings import Finding

*_BY_THE_DISSECTION, _NEEDS_CLASSIFIER = FINDINGS


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command()(findings)


@dataclass(frozen=True, kw_only=True)
class Scope:
    """Which findings, over which sites."""

    only: Annotated[list[str] | None, typer.Option(help=f"Only this one: {', '.join(FINDINGS)}. Repeatable.")] = None
    sites: Annotated[
        list[str] | None,
        typer.Option(help="A site's name, glob or preset. Repeatable. Default: all, but each neuron once."),
    ] = None


@dataclass(frozen=True, kw_only=True)
class ClusterArguments:
    """How caption sentences are clustered."""

    clusters: Annotated[
        int, typer.Option(help=f"Clusters of caption sentences, for {UNINTERPRETABLE_UNITS}.", min=1)
    ] = 11
    text_encoder: Annotated[str, typer.Option(help="For those clusters: words, sentence-transformers:REPO …")] = "words"


@dataclass(frozen=True, kw_only=True)
class Classifier:
    """The model whose accuracy is measured, and the clips that it is measured by."""

    model: Annotated[
        str | None, typer.Option(help=f"The classifier that was dissected, for {ACCURACY_BY_WORD_TYPE}.")
    ] = None
    data: Annotated[
        str | None, typer.Option(help="Labelled clips to measure accuracy on, other than the dissected ones.")
    ] = None
    split: Split = None
    audio_column: AudioColumn = "audio"
    label_column: LabelColumn = None
    limit: Limit = None

    @property
    def named(self) -> bool:
        """Whether any part of what is needed is named."""
        return bool(self.model or self.data)

    @property
    def complete(self) -> bool:
        """Whether all of it is."""
        return bool(self.model and self.data)


@dataclass(frozen=True, kw_only=True)
class PruningArguments:
    """Which units are pruned, and by which clips that is measured."""

    share: Annotated[
        list[float] | None,
        typer.Option(help="Share of the units to prune, 0 to 1. Repeatable. Default: 0.02, 0.04 … 0.12."),
    ] = None
    word_type: Annotated[
        list[str] | None,
        typer.Option(help=f"Only units rich in this: {', '.join(KINDS)}. Repeatable. Default: all."),
    ] = None
    draws: Annotated[int, typer.Option(help="Random draws, each with a matched control.", min=1)] = 5
    dissected_too: Annotated[
        bool, typer.Option("--dissected-too", help="Measure accuracy on clips of the dissection as well.")
    ] = False

    def keywords(self) -> dict[str, Any]:
        """What `accuracy_by_word_type` takes them as."""
        from ..findings.word_types import SHARES

        return {
            "shares": self.share or SHARES,
            "parts": self.word_type or KINDS,
            "draws": self.draws,
            "dissected_too": self.dissected_too,
        }


@dataclass(frozen=True, kw_only=True)
class RunArguments:
    """How the passes are run."""

    seed: Annotated[int, typer.Option(help="Of clusterings, draws and permutations.", min=0)] = 0
    batch_size: BatchSize = 16
    num_workers: NumWorkers = 0
    device: Device = None
    quiet: Quiet = False


@with_option_groups
def findings(
    folder: ExplainedFolder,
    out: Annotated[Path | None, typer.Option(help="Folder to write to. Default: DIR/findings.")] = None,
    *,
    scope: Scope,
    cluster_options: ClusterArguments,
    classifier: Classifier,
    pruning: PruningArguments,
    options: RunArguments,
) -> None:
    """Write the paper's findings over a dissection: tables (Parquet, CSV, JSON) and figures (PNG, PDF)."""
    from .. import findings as library
    from ..dissection.dissection import Dissection

    names = _names(scope.only, classifier)
    quiet_transformers()
    dissection, sites, seed = Dissection.load(folder), scope.sites, options.seed

    def accuracy_by_word_type() -> Finding:
        return library.accuracy_by_word_type(
            dissection, **vars(classifier), **pruning.keywords(), sites=sites, seed=seed,
            batch_size=options.batch_size, device=options.device, num_workers=options.num_workers,
            progress=not options.quiet,
        )  # fmt: skip

    makers: dict[str, Callable[[], Finding]] = {
        UNITS_PER_ADJECTIVE: lambda: library.units_per_adjective(dissection, sites=sites),
        ADJECTIVES_PER_LAYER: lambda: library.adjectives_per_layer(dissection, sites=sites, seed=seed),
        UNINTERPRETABLE_UNITS: lambda: library.uninterpretable_units(
            dissection, **vars(cluster_options), seed=seed, sites=sites, device=options.device
        ),
        ACCURACY_BY_WORD_TYPE: accuracy_by_word_type,
    }
    with resumable():
        _write_all({name: makers[name] for name in names}, out or folder / "findings")


def _names(only: list[str] | None, classifier: Classifier) -> list[str]:
    """Which findings to make: those that are asked for, else all, the last one where there is what it needs."""
    names = list(dict.fromkeys(only or ()))
    unknown = [name for name in names if name not in FINDINGS]
    if unknown:
        raise ValueError(f"unknown finding {unknown[0]!r}: one of {', '.join(FINDINGS)}")
    if (_NEEDS_CLASSIFIER in names or classifier.named) and not classifier.complete:
        raise ValueError(
            f"{_NEEDS_CLASSIFIER} needs --model, the classifier that was dissected, and --data, labelled clips"
        )
    if names:
        return names
    return list(FINDINGS) if classifier.complete else list(_BY_THE_DISSECTION)


def _write_all(makers: dict[str, Callable[[], Finding]], out: Path) -> None:
    """Write every finding that can be made; raises ValueError at the end for those that cannot."""
    failures: dict[str, list[str]] = {}
    no_figures: str | None = None
    for name, make in makers.items():
        try:
            no_figures = _write(make(), out)
        except ValueError as error:
            failures.setdefault(plain(error), []).append(name)
    if sum(map(len, failures.values())) < len(makers):
        print(f"{out}: tables" + ("" if no_figures else " and figures"))
    if no_figures:
        print(f"no figures: {no_figures}")
    if failures:
        raise ValueError(_failed(failures))


def _failed(failures: dict[str, list[str]]) -> str:
    return "; ".join(f"not made: {', '.join(names)}: {reason}" for reason, names in failures.items())


def _write(finding: Finding, out: Path) -> str | None:
    """Write a finding and say what it is; why there is no figure of it, if so."""
    from ..plugins import PluginError

    finding.write(out)
    no_figure = None
    try:
        finding.write_figure(out)
    except PluginError as error:
        no_figure = plain(error)
    print(f"{finding.name}: {out / finding.name}.csv")
    for line in finding.summary():
        print(f"  {plain(line)}")
    return no_figure
