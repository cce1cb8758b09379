"""`demo`: dissect the embedded model over generated sounds, offline, and say in words what its neurons listen for."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from ..wording import command, counted
from ._card import print_card
from ._output import clean, quiet_transformers, resumable

if TYPE_CHECKING:
    from ..dissection.common_labels import LabelCount
    from ..dissection.dissection import Dissection
    from ..dissection.exemplars import Unit

CLIPS_A_CLASS = 12
TOP = 8
IN_THE_REPORT = 40


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command()(demo)


def demo(
    out: Annotated[Path, typer.Option(help="Folder of the dissection.")],
    neurons: Annotated[int, typer.Option(help="How many neurons to print.", min=1)] = 12,
) -> None:
    """Dissect a tiny audio transformer over generated sounds, and explain it. Offline, under two minutes."""
    from ..demo import CLASSES, make_sounds
    from ..explain import card, explain, label

    quiet_transformers()
    console = Console()
    console.print(
        f"Playing {len(CLASSES)} kinds of generated sounds, {CLIPS_A_CLASS} of each, to a tiny Audio Spectrogram "
        f"Transformer; keeping, for each of its neurons, the {TOP} clips that it responds to most and least."
    )
    with resumable():
        sounds = list(make_sounds(CLIPS_A_CLASS))
        dissection = _dissection(console, out, sounds)
        console.print("Saying in words what they have in common, without a language model.\n")
        explain(dissection)
        label(dissection, "labels", method="db")
    selective = most_selective(dissection, neurons)
    console.print(neuron_table(dissection, selective))
    console.print("The first of them more closely: its clips, where in them it fires, and what is said of it.\n")
    unit = selective[0][0]
    print_card(console, dissection, card(dissection, unit.site, unit.index), most=4)
    for what, next_command in (
        ("Any other", command("show", out, unit.site, "UNIT")),
        ("Neurons by words", command("search", out, "rising sweep")),
    ):
        console.print(f"\n{what}: {clean(next_command)}", soft_wrap=True)
    with resumable():
        _print_report(console, dissection, [(unit.site, unit.index) for unit, _ in selective], sounds)


def _print_report(console: Console, dissection: Dissection, units: list[tuple[str, int]], sounds: list[Any]) -> None:
    """Write a page of these units and of the most selective others, and say where it is; or what it needs."""
    from ..dissection.selectivity import most_selective_units
    from ..look.report import write_report
    from ..plugins import PluginError

    neurons = [site for site in dissection.sites if site.endswith(".mlp.hook_post")]
    chosen = list(dict.fromkeys([*units, *most_selective_units(dissection, IN_THE_REPORT, neurons)]))[:IN_THE_REPORT]
    try:
        page = write_report(dissection, dissection.folder / "report.html", chosen, data=sounds, progress=False)
    except PluginError as error:
        console.print(f"\nTo see and hear neurons on a page: {clean(error)}", soft_wrap=True)
    else:
        console.print(
            f"\n{len(page.units)} of them to see and hear, in any browser: {clean(page.path)}", soft_wrap=True
        )


def _dissection(console: Console, out: Path, sounds: list[Any]) -> Dissection:
    """Dissect the embedded model, and say how long that took."""
    from ..demo import tiny_ast_path
    from ..run.dissect import dissect

    began = time.monotonic()
    dissection = dissect(str(tiny_ast_path()), sounds, ["default", "unembed.hook_out"], TOP, out=out, device="cpu")
    units, sites = sum(dissection.widths().values()), len(dissection.sites)
    duration = time.monotonic() - began
    console.print(f"{counted(units, 'neuron')} at {counted(sites, 'site')} in {duration:.0f} s, kept in {out}")
    return dissection


def neuron_table(dissection: Dissection, neurons: list[tuple[Unit, LabelCount]]) -> Table:
    """A table of neurons with what their top clips have in common."""
    from ..explain import card

    columns = ("neuron", "its top clips", "in words", "concept")
    table = Table(*columns, title="What some neurons listen for", title_justify="left", box=box.SIMPLE_HEAD)
    for unit, common in neurons:
        unit_card = card(dissection, unit.site, unit.index)
        table.add_row(
            f"block {unit.site.split('.')[1]}, [bold]{unit.index}[/bold]",
            f"{common.count} of {common.of} are {clean(common.label)}",
            clean(unit_card.calibrated or "–"),
            clean(unit_card.labels[0].concept if unit_card.labels else "–"),
        )
    return table


def most_selective(dissection: Dissection, most: int) -> list[tuple[Unit, LabelCount]]:
    """The MLP neurons whose top clips agree most on a label, one neuron a label, deepest agreement first."""
    candidates = sorted(_agreeing(dissection), key=_by_agreement)
    by_label: dict[str, tuple[Unit, LabelCount]] = {}
    for unit, common in candidates:
        by_label.setdefault(common.label, (unit, common))
    return list(by_label.values())[:most]


def _agreeing(dissection: Dissection) -> Iterator[tuple[Unit, LabelCount]]:
    """Every MLP neuron whose top clips are all evidence and share a label, with that label."""
    from ..dissection.common_labels import LabelCounter

    counter = LabelCounter(dissection)
    for site in dissection.sites:
        if not site.endswith(".mlp.hook_post"):
            continue
        for index in range(dissection[site].units):
            unit = dissection.unit(site, index)
            common = counter.commonest(unit.top)
            if common is not None and unit.top_shortfall is None:
                yield unit, common


def _by_agreement(neuron: tuple[Unit, LabelCount]) -> tuple[float, float, str, int]:
    """Highest excess of the label first, then by how far the last of the top clips lies above the mean."""
    unit, common = neuron
    margin = (unit.top[-1].activation - unit.mean) / max(unit.variance**0.5, 1e-12)
    return -common.excess, -margin, unit.site, unit.index
