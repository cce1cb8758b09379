"""What the steps after a run cost on the paper's number of units: `python -m benchmarks.upper_half`.

Every command of explaining and reading, in a process of its own, on a dissection of 55,346 units over 100,000 captioned
clips in which it is known which of 500 concepts a unit goes with; and what comparing units with concepts takes while a
run streams by.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from and_nnsight.cli import main as command_line
from and_nnsight.dissection.dissection import Dissection
from and_nnsight.explain import read_table, search
from and_nnsight.statistics.concept_scores import ConceptScores
from and_nnsight.statistics.concepts import ConceptAccumulator
from and_nnsight.storage import write_tensors
from benchmarks._planted_at_scale import Scale, activations, write_dissection, write_held_out
from benchmarks._report import MEGABYTE, PeakMemory, fresh_process, timed, write_report

CPU = torch.device("cpu")
TARGETS = {"seconds of a command": 600, "peak memory in MB": 3_000}
QUERY = "wooden drum"


def commands(work: Path, options: argparse.Namespace) -> dict[str, list[str]]:
    """The commands in their order, as they are typed."""
    dissection, held_out = str(work / "dissection"), str(work / "held-out")
    every = {
        "explain": ["explain", dissection, "--quiet"],
        "label": ["label", dissection, "--concepts", str(work / "concepts.txt"), "--quiet"],
        "score": ["score", dissection, "--held-out", held_out, "--quiet", "--shuffles", str(options.shuffles)],
        "search": ["search", dissection, QUERY],
        "findings": ["findings", dissection, "--quiet"],
    }
    return {name: every[name] for name in every if name in options.only}


def make(work: Path, scale: Scale, held_out: Scale) -> dict[str, float]:
    """The two dissections and the list of concepts. Call it in a process of its own."""
    torch.set_num_threads(1)
    (work / "concepts.txt").write_text("".join(f"{name}\n" for name in scale.names), encoding="utf-8")
    began = time.perf_counter()
    write_dissection(work / "dissection", scale, seed=1)
    write_held_out(work / "held-out", held_out, seed=2)
    return {"seconds": round(time.perf_counter() - began, 1)}


def run_command(words: Sequence[str], printed: Path) -> dict[str, Any]:
    """Seconds and peak memory of a command. Call it in a process of its own."""
    torch.set_num_threads(1)
    sys.argv = ["and-nnsight", *words]
    with printed.open("w", encoding="utf-8") as file, contextlib.redirect_stdout(file), PeakMemory() as memory:
        timing = timed(_exit_code, CPU)
    row = {"wall_seconds": round(timing.wall, 1), "cpu_seconds": round(timing.cpu, 1)}
    return row | {"peak_mb": round(memory.peak / MEGABYTE), "exit_code": timing.value}


def measured_once(words: Sequence[str], file: Path) -> dict[str, Any]:
    """What a command takes; of one that was measured in this folder before, what it took then: its work is done."""
    kept = file.with_suffix(".json")
    if kept.exists() and (known := json.loads(kept.read_text(encoding="utf-8")))["command"] == list(words):
        return known["measured"]
    row = fresh_process(run_command, words, file.with_suffix(".txt"))
    kept.write_text(json.dumps({"command": list(words), "measured": row}), encoding="utf-8")
    return row


def _exit_code() -> int:
    try:
        command_line()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def what_is_said(work: Path, scale: Scale) -> dict[str, float]:
    """Whether units come out with the concept that was planted in them: shares of the planted, and of the others."""
    dissection = Dissection.load(work / "dissection")
    own = dict(zip(_every_unit(scale), scale.concept_of_unit.tolist(), strict=True))
    planted = {at: scale.names[concept] for at, concept in own.items() if concept >= 0}
    labels = {(row.site, row.unit): row for row in read_table(dissection, "labels") if row.rank == 0}
    summaries = {(row.site, row.unit): row.highly or "" for row in read_table(dissection, "summaries")}
    first = search(dissection, QUERY, most=20)
    return {
        "planted_units": len(planted),
        "labelled_rightly": _share(labels[at].concept == name for at, name in planted.items()),
        "explained_rightly": _share(name in summaries[at].lower() for at, name in planted.items()),
        "others_explained": _share(bool(summaries[at]) for at in own if at not in planted),
        "search_finds_planted": _share(planted.get((one.site, one.unit)) == QUERY for one in first),
    }


def _every_unit(scale: Scale) -> Iterator[tuple[str, int]]:
    for site, width in scale.widths.items():
        yield from ((site, unit) for unit in range(width))


def _share(answers: Iterable[bool]) -> float:
    every = list(answers)
    return round(sum(every) / max(1, len(every)), 4)


def compare_with_concepts(scale: Scale, clips: int, folder: Path) -> dict[str, Any]:
    """What a run pays for comparing units with concepts: seconds a clip, memory, and a checkpoint of it."""
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    table = torch.rand(clips, scale.concepts, generator=generator)
    scores = ConceptScores(scale.names, torch.arange(clips), table, "db")
    values = activations(scale, torch.zeros(clips, dtype=torch.int64).numpy(), torch.arange(clips), seed=3)
    with PeakMemory() as memory:
        concepts = ConceptAccumulator(scale.units, scores)
        taking_in = timed(
            lambda: [concepts.update(*both) for both in zip(values.split(64), table.split(64), strict=True)], CPU
        )
        state = memory.peak
        checkpoint = timed(lambda: write_tensors(folder / "state.safetensors", concepts.state_dict()), CPU)
    return {
        "clips": clips,
        "told_before_mb": round(ConceptAccumulator.bytes_needed(scale.units, scores) / MEGABYTE),
        "cpu_seconds_a_clip": round(taking_in.cpu / clips, 4),
        "above_before_mb": round((state - memory.before) / MEGABYTE),
        "with_a_checkpoint_mb": round((memory.peak - memory.before) / MEGABYTE),
        "checkpoint_mb": round((folder / "state.safetensors").stat().st_size / MEGABYTE),
        "checkpoint_seconds": round(checkpoint.wall, 1),
    }


def show(rows: dict[str, dict[str, Any]], scale: Scale) -> None:
    """A line a command."""
    title = f"{scale.units:,} units, {scale.concepts} concepts, {scale.clips:,} clips"
    table = Table("command", "wall s", "CPU s", "peak MB", title=title)
    for name, row in rows.items():
        table.add_row(name, f"{row['wall_seconds']:,.0f}", f"{row['cpu_seconds']:,.0f}", f"{row['peak_mb']:,}")
    Console().print(table)


def main() -> None:
    """Measure, print and write."""
    names = ("explain", "label", "score", "search", "findings")
    parser = argparse.ArgumentParser(prog="python -m benchmarks.upper_half", description=(__doc__ or "").split(":")[0])
    parser.add_argument("--clips", type=int, default=100_000)
    parser.add_argument("--concepts", type=int, default=500)
    parser.add_argument("--layers", type=int, default=12, help="of AST-base's width")
    parser.add_argument("--held-out", type=int, default=1_000, help="clips that claims are scored on")
    parser.add_argument("--shuffles", type=int, default=999)
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    parser.add_argument("--concept-clips", type=int, default=128, help="clips of the run that compares; 0: none")
    parser.add_argument("--work", type=Path, help="folder that keeps the dissections and what was measured on them")
    parser.add_argument("--no-write", dest="write", action="store_false", help="print only")
    options = parser.parse_args()
    scale = Scale(clips=options.clips, concepts=options.concepts, layers=options.layers)
    with contextlib.ExitStack() as stack:
        work = options.work or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        work.mkdir(parents=True, exist_ok=True)
        if not (work / "held-out" / "manifest.json").exists():
            fresh_process(make, work, scale, replace(scale, clips=options.held_out))
        rows = {}
        for name, words in commands(work, options).items():
            rows[name] = measured_once(words, work / name)
            Console().print(f"{name}: {rows[name]}", highlight=False)
        show(rows, scale)
        numbers: dict[str, Any] = {"units": scale.units, "concepts": scale.concepts, "clips": scale.clips}
        numbers |= {"held_out": options.held_out, "shuffles": options.shuffles, "commands": rows}
        if {"explain", "label"} <= set(rows):
            numbers["said"] = fresh_process(what_is_said, work, scale)
        if options.concept_clips:
            numbers["comparing"] = fresh_process(compare_with_concepts, scale, options.concept_clips, work)
    Console().print({name: numbers[name] for name in ("said", "comparing") if name in numbers})
    if options.write:
        Console().print(f"wrote {write_report('upper_half', CPU, numbers, TARGETS)}")


if __name__ == "__main__":
    main()
