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


def extrapolate(
    parts: list[Part], beside: float, prepared: Mapping[str, float], assumed: Assumptions
) -> list[dict[str, Any]]:
    """For each corpus and each measured step or pass of a GPU: hours and dollars, and what bounds them.

    beside    CPU seconds that a run takes of a clip beside its model and features: on one core of each process
    prepared  CPU seconds to decode a clip, and to decode it and make its features; spread over a GPU's cores

    Each figure is two: if all of it overlaps, and if nothing does.
    """
    rows = []
    for corpus, clips in CORPORA.items():
        for part in parts:
            if part.device.startswith("cpu") or part.what.startswith("bare"):
                continue
            hours = {"GPU": clips / part.clips_a_second / 3600, "one core of a process": clips * beside / 3600}
            if "files" not in part.what:
                hours["decoding and features"] = clips * prepared["decoding and features"] / assumed.cores / 3600
            spans = (max(hours.values()), sum(hours.values()))
            price = assumed.gpu_price + assumed.cores * assumed.cpu_price
            rows.append(
                {
                    "corpus": corpus,
                    "clips": clips,
                    "of": asdict(part),
                    "parts_in_gpu_hours": {name: round(value, 2) for name, value in hours.items()},
                    "bound_by": max(hours, key=hours.__getitem__),
                    "gpu_hours": [round(span, 2) for span in spans],
                    "hours": [round(span / assumed.gpus, 2) for span in spans],
                    "dollars": [round(span * price, 2) for span in spans],
                }
            )
    return rows
