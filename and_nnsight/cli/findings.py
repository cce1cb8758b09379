"""`findings`: the paper's findings over a dissection that has been explained, as tables and figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ._output import plain, resumable

if TYPE_CHECKING:
    from ..findings import Finding

NAMES = ("units_per_adjective", "adjectives_per_layer", "uninterpretable_units", "accuracy_by_word_type")
WORD_TYPES = ("adjective", "noun", "verb", "preposition", "basic adjective", "high-level adjective", "length")
_NEEDS_DATA = NAMES[-1]


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command()(findings)


def findings(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a dissection that has been explained.")],
    out: Annotated[Path | None, typer.Option(help="Folder to write to. Default: DIR/findings.")] = None,
    only: Annotated[list[str] | None, typer.Option(help=f"Only this one: {', '.join(NAMES)}. Repeatable.")] = None,
    sites: Annotated[
        list[str] | None,
        typer.Option(help="A site's name or glob. Repeatable. Default: all, but each neuron once."),
    ] = None,
    clusters: Annotated[
        int, typer.Option(help="Clusters of caption sentences, for uninterpretable_units.", min=1)
    ] = 11,
    text_encoder: Annotated[
        str, typer.Option(help="For those clusters: words, sentence-transformers:REPO …")
    ] = "words",
    model: Annotated[
        str | None, typer.Option(help="The classifier that was dissected, for accuracy_by_word_type.")
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="Labelled clips to measure accuracy on, other than the dissected ones.")
    ] = None,
    split: Annotated[str | None, typer.Option(help="Split of a dataset.")] = None,
    audio_column: Annotated[str, typer.Option(help="Column that holds the audio.")] = "audio",
    label_column: Annotated[str | None, typer.Option(help="Column that holds the label.")] = None,
    limit: Annotated[int | None, typer.Option(help="At most so many clips.")] = None,
    share: Annotated[
        list[float] | None,
        typer.Option(help="Share of the units to prune, 0 to 1. Repeatable. Default: 0.02, 0.04 … 0.12."),
    ] = None,
    word_type: Annotated[
        list[str] | None,
        typer.Option(help=f"Only units rich in this: {', '.join(WORD_TYPES)}. Repeatable. Default: all."),
    ] = None,
    draws: Annotated[int, typer.Option(help="Random draws, each with a matched control.", min=1)] = 5,
    dissected_too: Annotated[
        bool, typer.Option("--dissected-too", help="Measure accuracy on clips of the dissection as well.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Of clusterings, draws and permutations.", min=0)] = 0,
    batch_size: Annotated[int, typer.Option(help="Clips a batch.", min=1)] = 16,
    num_workers: Annotated[int, typer.Option(help="Processes that decode and make features.")] = 0,
    device: Annotated[str | None, typer.Option(help="For example cpu or cuda; default: a GPU if there is one.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar.")] = False,
) -> None:
    """Write the paper's findings over a dissection: tables (Parquet, CSV, JSON) and figures (PNG, PDF)."""
    from .. import findings as made
    from ..dissection.dissection import Dissection
    from ..findings.word_types import SHARES
    from .dissect import quiet_transformers

    names = _names(only, model, data)
    quiet_transformers()
    found = Dissection.load(folder)
    ways: Mapping[str, Callable[[], Finding]] = {
        "units_per_adjective": lambda: made.units_per_adjective(found, sites=sites),
        "adjectives_per_layer": lambda: made.adjectives_per_layer(found, sites=sites, seed=seed),
        "uninterpretable_units": lambda: made.uninterpretable_units(
            found, clusters=clusters, text_encoder=text_encoder, seed=seed, sites=sites, device=device
        ),
        "accuracy_by_word_type": lambda: made.accuracy_by_word_type(
            found, model, data, shares=share or SHARES, parts=word_type or WORD_TYPES, draws=draws, sites=sites,
            seed=seed, dissected_too=dissected_too, split=split, audio_column=audio_column, label_column=label_column,
            limit=limit, batch_size=batch_size, device=device, num_workers=num_workers, progress=not quiet,
        ),
    }  # fmt: skip
    out = out or folder / "findings"
    failed: dict[str, list[str]] = {}
    lacking: str | None = None
    with resumable():
        for name in names:
            try:
                lacking = _write(ways[name](), out)
            except ValueError as error:
                failed.setdefault(plain(error), []).append(name)
    if sum(map(len, failed.values())) < len(names):
        print(f"{out}: tables" + ("" if lacking else " and figures"))
    if lacking:
        print(f"no figures: {lacking}")
    if failed:
        raise ValueError("; ".join(f"not made: {', '.join(which)}: {reason}" for reason, which in failed.items()))


def _names(only: list[str] | None, model: str | None, data: str | None) -> list[str]:
    """Which findings to make: those that are asked for, else all, the last one where there is what it needs."""
    if unknown := [name for name in only or () if name not in NAMES]:
        raise ValueError(f"unknown finding {unknown[0]!r}: one of {', '.join(NAMES)}")
    if (_NEEDS_DATA in (only or ()) or model or data) and not (model and data):
        raise ValueError(f"{_NEEDS_DATA} needs --model, the classifier that was dissected, and --data, labelled clips")
    if only:
        return list(dict.fromkeys(only))
    return [name for name in NAMES if name != _NEEDS_DATA or model]


def _write(finding: Finding, out: Path) -> str | None:
    """Write a finding and say what it is; why there is no figure of it, if so."""
    from ..plugins import PluginError

    finding.write(out)
    lacking = None
    try:
        finding.write_figure(out)
    except PluginError as error:
        lacking = plain(error)
    print(f"{finding.name}: {out / finding.name}.csv")
    for line in finding.summary():
        print(f"  {plain(line)}")
    return lacking
