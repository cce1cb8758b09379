"""What the benchmarks share: the device's name, fresh processes, peak memory, and how results are written."""

from __future__ import annotations

import json
import os
import platform
import re
import shlex
import statistics
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Generic, NamedTuple, Self, TypeVar

import psutil
import torch
from rich.console import Console
from rich.table import Table

from and_nnsight.model.fingerprint import package_versions

T = TypeVar("T")

RESULTS = Path(__file__).parent / "results"
MEGABYTE = 1_000_000


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def device_slug(device: torch.device) -> str:
    """The device's folder among the results: `cpu-2-cores`, `nvidia-h200`."""
    if device.type == "cuda":
        return re.sub(r"[^a-z0-9]+", "-", torch.cuda.get_device_name(device).lower()).strip("-")
    return f"cpu-{cores()}-cores"


def describe_device(device: torch.device) -> dict[str, Any]:
    """What the numbers hang on: processor, cores, threads, how busy the machine was, and the GPU if one is used."""
    described: dict[str, Any] = {
        "cpu": _cpu_name(),
        "cores": cores(),
        "threads": torch.get_num_threads(),
        "load": round(os.getloadavg()[0], 2),
        "memory_gb": round(psutil.virtual_memory().total / 1e9),
    }
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        described |= {
            "gpu": properties.name,
            "gpu_memory_gb": round(properties.total_memory / 1e9),
            "cuda": torch.version.cuda,
        }
    return described


def _cpu_name() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def write_report(
    name: str, device: torch.device, numbers: Mapping[str, Any], targets: Mapping[str, Any], folder: Path = RESULTS
) -> Path:
    """Write `<folder>/<device>/<name>.json` and return its path."""
    report = {
        "benchmark": name,
        "command": shlex.join(["python", "-m", f"benchmarks.{name}", *map(_without_place, sys.argv[1:])]),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": describe_device(device),
        "versions": {"python": platform.python_version(), **package_versions()},
        "targets": dict(targets),
        **numbers,
    }
    path = folder / device_slug(device) / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return path


def _without_place(argument: str) -> str:
    """An argument; of a path that names a place on this machine its last part alone."""
    option, equals, value = argument.rpartition("=")
    return option + equals + (Path(value).name if Path(value).expanduser().is_absolute() else value)


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, lowest and highest of repeated measurements, to four digits."""
    return {
        name: float(f"{function(values):.4g}")
        for name, function in (("median", statistics.median), ("min", min), ("max", max))
    }


class Timing(NamedTuple, Generic[T]):
    """Seconds that a call took by the clock, seconds of CPU time over all threads, and what it returned."""

    wall: float
    cpu: float
    value: T


def timed(run: Callable[[], T], device: torch.device) -> Timing[T]:
    """Call and wait until the device has done what the call asked of it."""
    synchronise(device)
    wall, cpu = time.perf_counter(), time.process_time()
    value = run()
    synchronise(device)
    return Timing(time.perf_counter() - wall, time.process_time() - cpu, value)


def synchronise(device: torch.device) -> None:
    """Wait for a GPU; nothing on the CPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def fresh_process(function: Callable[..., T], *arguments: Any) -> T:
    """Call an importable function in a process of its own, so that its memory is its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


class PeakMemory:
    """While open, watches this process's resident memory; `before` and `peak` are in bytes.

    A thread looks every two milliseconds: the kernel's own high-water mark cannot be reset everywhere, and is handed
    down to child processes on some systems.
    """

    def __enter__(self) -> Self:
        """Start watching."""
        self._process = psutil.Process()
        self.before = self.peak = self._process.memory_info().rss
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Stop watching."""
        self._done.set()
        self._thread.join()
        self._look()

    def _watch(self) -> None:
        while not self._done.wait(0.002):
            self._look()

    def _look(self) -> None:
        self.peak = max(self.peak, self._process.memory_info().rss)


def print_steps(row: dict[str, Any]) -> None:
    """One geometry's ways of collecting as a table."""
    title = f"{row['geometry']} {row['dtype']}, {row['units']:,} units, {row['batch_size']} clips a step"
    columns = ("way", "state", "ms a step", "ratio to bare", "lowest", "highest", "fastest", "CPU time", "peak MB")
    table = Table(*columns, title=title)
    for way in row["ways"]:
        cells = [f"{way['seconds']['median'] * 1e3:,.1f}"]
        if "ratio" in way:
            cells += [f"{way['ratio'][name]:.3f}" for name in ("median", "min", "max")]
            cells += [f"{way['fastest']:.3f}", f"{way['cpu_ratio']['median']:.3f}"]
        cells += [""] * (6 - len(cells)) + [f"{way['peak_bytes'] / MEGABYTE:,.0f}" if "peak_bytes" in way else ""]
        table.add_row(way["variant"], way["state"], *cells)
    Console(width=120).print(table)
    print(f"targets for ast-base's trace: 1.10 on the CPU, 1.05 on a GPU; a steady step changes "
          f"{row['units_changed_in_a_steady_step']['median']:.1%} of the units")  # fmt: skip


def print_files(row: dict[str, Any]) -> None:
    """Both rules' seconds from files to the top-K, in a sentence."""
    print(f"{row['geometry']}, {row['clips']} files to top-K: dissect {row['dissect']['median']:.1f} s, storing "
          f"everything {row['store']['median']:.1f} s: {row['times_faster']['median']:.2f} times faster (targets: 1 on "
          f"the CPU, 20 on a GPU); {row['same_clips']:.2%} of the clips are the same")  # fmt: skip
