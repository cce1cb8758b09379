"""Hours and money for corpora that nobody has here, from parts that were measured, each with where and when."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

CORPORA = {"AudioSet-2M (5,800 h)": 2_084_320, "100,000 h": 36_000_000}
"""Windows of ten seconds: as AudioSet's files are, and as long recordings are cut."""


@dataclass(frozen=True)
class Part:
    """What was measured: clips a second, of what, and where that is written."""

    what: str
    clips_a_second: float
    device: str
    date: str
    source: str


@dataclass(frozen=True)
class Assumptions:
    """What is taken for granted, and is no measurement.

    gpu_price   dollars an hour of one GPU with its share of a machine
    cpu_price   dollars an hour of one CPU core
    cores       CPU cores that a GPU has beside it
    gpus        GPUs side by side
    """

    gpu_price: float
    cpu_price: float
    cores: int
    gpus: int


def parts_of(results: Path) -> list[Part]:
    """Steps and passes from files of AST-base that the benchmarks of this repository wrote, device by device."""
    found = []
    for path in sorted(results.glob("*/*.json")):
        if path.stem not in ("overhead", "throughput"):
            continue
        report = json.loads(path.read_text(encoding="utf-8"))
        source = f"results/{path.parent.name}/{path.name}"
        rates = _steps(report) if path.stem == "overhead" else _passes(report)
        found += [Part(what, round(rate, 1), path.parent.name, report["date"][:10], source) for what, rate in rates]
    return found


def _steps(report: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for row in report.get("steps", ()):
        for way in row["ways"] if row["geometry"] == "ast-base" else ():
            if way["variant"] in ("bare", "trace") and way["state"] != "filling":
                name = "bare forward" if way["variant"] == "bare" else "step of dissect"
                yield f"{name}, {row['dtype']}, batch {row['batch_size']}", row["batch_size"] / way["seconds"]["median"]


def _passes(report: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for row in report["rows"] if report["geometry"] == "ast-base" else ():
        what = f"{row['format']} files to top-K, {row['workers']} workers, {report['dtype']}"
        yield what, row["clips_a_second"]


def extrapolate(parts: list[Part], run_seconds_a_clip: float, assumed: Assumptions) -> list[dict[str, Any]]:
    """For each corpus and each measured step or pass of a GPU: hours and dollars, and what bounds it.

    run_seconds_a_clip  CPU seconds that a run takes of a clip beside its model and features
    """
    rows = []
    for corpus, clips in CORPORA.items():
        for part in parts:
            on_gpu = not part.device.startswith("cpu")
            if not on_gpu or part.what.startswith("bare"):
                continue
            beside = clips * run_seconds_a_clip / 3600  # on one core of each process; it overlaps with the GPU at best
            gpu_hours = clips / part.clips_a_second / 3600
            at_worst = gpu_hours + beside
            dollars = [
                round(hours * (assumed.gpu_price + assumed.cores * assumed.cpu_price), 2)
                for hours in (max(gpu_hours, beside), at_worst)
            ]
            rows.append(
                {
                    "corpus": corpus,
                    "clips": clips,
                    "of": asdict(part),
                    "gpu_hours": [round(max(gpu_hours, beside), 2), round(at_worst, 2)],
                    "hours": [round(max(gpu_hours, beside) / assumed.gpus, 2), round(at_worst / assumed.gpus, 2)],
                    "dollars": dollars,
                    "includes": "decoding and features" if "files" in part.what else "neither decoding nor features",
                }
            )
    return rows
