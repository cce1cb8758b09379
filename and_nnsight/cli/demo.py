"""`demo`: dissect the embedded model over generated sounds, offline, and say in words what its neurons listen for."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from ..wording import command, counted
from ._output import clean, resumable
from .show import print_card

if TYPE_CHECKING:
    from ..dissection.common_labels import LabelCount
    from ..dissection.dissection import Dissection
    from ..dissection.exemplars import Unit

CLIPS_A_CLASS = 12
TOP = 8


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command()(demo)


def demo(
    out: Annotated[Path, typer.Option(help="Folder of the dissection.")],
    neurons: Annotated[int, typer.Option(help="How many neurons to print.", min=1)] = 12,
) -> None:
    """Dissect a tiny audio transformer over generated sounds, and explain it. Offline, under two minutes."""
    from ..demo import CLASSES, make_sounds, tiny_ast_path
    from ..explain import card, explain, label
    from ..run.dissect import dissect
    from .dissect import quiet_transformers

    quiet_transformers()
    console = Console()
    began = time.monotonic()
    console.print(
        f"Playing {len(CLASSES)} kinds of generated sounds, {CLIPS_A_CLASS} of each, to a tiny Audio Spectrogram "
        f"Transformer; keeping, for each of its neurons, the {TOP} clips that it responds to most and least."
    )
    sounds = list(make_sounds(CLIPS_A_CLASS))
    with resumable():
        found = dissect(str(tiny_ast_path()), sounds, ["default", "unembed.hook_out"], TOP, out=out, device="cpu")
        units, spent = sum(found.widths().values()), time.monotonic() - began
        console.print(
            f"{counted(units, 'neuron')} at {counted(len(found.sites), 'site')} in {spent:.0f} s, kept in {out}"
        )
        console.print("Saying in words what they have in common, without a language model.\n")
        explain(found)
        label(found, "labels", method="db")
    chosen = most_selective(found, neurons)
    console.print(neuron_table(found, chosen))
    console.print("The first of them more closely: its clips, where in them it fires, and what is said of it.\n")
    unit = chosen[0][0]
    print_card(console, found, card(found, unit.site, unit.index), most=4)
    for what, told in (
        ("Any other", command("show", out, unit.site, "UNIT")),
        ("Neurons by words", command("search", out, "rising sweep")),
    ):
        console.print(f"\n{what}: {clean(told)}", soft_wrap=True)


def neuron_table(found: Dissection, chosen: list[tuple[Unit, LabelCount]]) -> Table:
    """A table of neurons with what their top clips have in common."""
    from ..explain import card

    columns = ("neuron", "its top clips", "in words", "concept")
    table = Table(*columns, title="What some neurons listen for", title_justify="left", box=box.SIMPLE_HEAD)
    for unit, label in chosen:
        said = card(found, unit.site, unit.index)
        table.add_row(
            f"block {unit.site.split('.')[1]}, [bold]{unit.index}[/bold]",
            f"{label.count} of {label.of} are {clean(label.label)}",
            clean(said.calibrated or "–"),
            clean(said.labels[0].concept if said.labels else "–"),
        )
    return table


def most_selective(found: Dissection, most: int) -> list[tuple[Unit, LabelCount]]:
    """The MLP neurons whose top clips agree most on a label, one neuron a label, deepest agreement first."""
    from ..dissection.common_labels import LabelCounter

    labels = LabelCounter(found)
    candidates: list[tuple[float, float, Unit, LabelCount]] = []
    for site in found.sites:
        if not site.endswith(".mlp.hook_post"):
            continue
        for index in range(found[site].units):
            unit = found.unit(site, index)
            label = labels.commonest(unit.top)
            if label is not None and unit.top_shortfall is None:
                margin = (unit.top[-1].activation - unit.mean) / max(unit.variance**0.5, 1e-12)
                candidates.append((label.excess, margin, unit, label))
    candidates.sort(key=lambda found: (-found[0], -found[1], found[2].site, found[2].index))
    chosen: dict[str, tuple[Unit, LabelCount]] = {}
    for _, _, unit, label in candidates:
        chosen.setdefault(label.label, (unit, label))
    return list(chosen.values())[:most]
