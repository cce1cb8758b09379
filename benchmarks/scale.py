"""What a run over millions of clips takes beside its model: `python -m benchmarks.scale`.

Measured here, each in a process of its own: a run over 200, 20,000 and 2,000,000 clips of a model that costs next to
nothing (memory, CPU time a clip); checkpoints of all 55,346 units of AST-base's "paper" sites as far into such a run as
that; and merging 64 shards of as many units. From that, and from what other benchmarks wrote of devices, hours and
dollars of AudioSet-2M and of 100,000 hours; what these assume is said, and is the command line's to change.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import deque
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from transformers import ASTConfig, ASTFeatureExtractor, ASTForAudioClassification

from and_nnsight import dissect, merge
from and_nnsight.data import ClipLengths, batches, open_source
from and_nnsight.data.shards import Stretch
from and_nnsight.model.features import make_featuriser
from and_nnsight.run.results import sums_of
from and_nnsight.storage import write_tensors
from benchmarks._extrapolation import Assumptions, extrapolate, parts_of
from benchmarks._many_shards import filled, widths_of, write_shards
from benchmarks._report import MEGABYTE, RESULTS, PeakMemory, fresh_process, spread, timed, write_report
from benchmarks._stub_model import Clips, StubModel
from benchmarks.throughput import write_clips

K, BATCH, TARGET_MB = 16, 64, 50
CPU = torch.device("cpu")


def long_run(clips: int, units: int) -> dict[str, Any]:
    """A run over so many clips: peak memory, and CPU seconds a clip. Call it in a process of its own."""
    torch.set_num_threads(1)
    model = StubModel(units)
    with tempfile.TemporaryDirectory() as scratch, PeakMemory() as memory:
        out = Path(scratch) / "run"
        took = timed(lambda: dissect(model, Clips(clips), k=K, batch_size=BATCH, out=out, progress=False), CPU)
    numbers = {"clips": clips, "units": units, "seconds": round(took.wall, 2), "cpu_seconds": round(took.cpu, 2)}
    return {**numbers, "peak_bytes": memory.peak, "before_bytes": memory.before}


def preparation(clips: int) -> dict[str, float]:
    """CPU seconds to decode a FLAC file of ten seconds and make AST's features of it. In a process of its own."""
    torch.set_num_threads(1)
    extractor: Any = ASTFeatureExtractor()
    featuriser = make_featuriser(ASTForAudioClassification(ASTConfig(num_hidden_layers=1)), extractor)
    with tempfile.TemporaryDirectory() as scratch:
        write_clips(Path(scratch) / "flac", "flac", clips)
        source = open_source(Path(scratch) / "flac")
        options: dict[str, Any] = {"sampling_rate": featuriser.sampling_rate, "batch_size": 8}
        lengths = ClipLengths(featuriser.minimum_samples, featuriser.window_samples)
        seconds = {}
        for what, featurise in (("decoding", len), ("decoding and features", featuriser.groups)):
            run = partial(deque, batches(source, featurise=featurise, lengths=lengths, **options), maxlen=0)
            seconds[what] = round(timed(run, CPU).cpu / clips, 5)
    return seconds


def checkpoints(clips: int, units: int, repeats: int) -> dict[str, Any]:
    """What a checkpoint of a run takes that has seen so many clips (one fewer, the most nodes)."""
    torch.set_num_threads(1)
    statistics = filled(widths_of(units), Stretch(0, clips - 1), K, 0)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "state.safetensors"
        takes = [timed(lambda: write_tensors(path, sums_of(statistics, None)), CPU) for _ in range(repeats)]
        size = path.stat().st_size
    return {
        "units": units,
        "nodes": len(statistics.moments.nodes),
        "bytes": size,
        "seconds": spread([take.wall for take in takes]),
        "cpu_seconds": spread([take.cpu for take in takes]),
    }


def merging(folder: str) -> dict[str, Any]:
    """What merging the shards below a folder takes."""
    torch.set_num_threads(1)
    with PeakMemory() as memory:
        took = timed(lambda: merge(folder, out=Path(folder) / "merged"), CPU)
    manifest = took.value.manifest
    numbers = {"clips": manifest.clips, "seconds": round(took.wall, 2), "cpu_seconds": round(took.cpu, 2)}
    return {**numbers, "peak_bytes": memory.peak, "before_bytes": memory.before}


def merge_of(shards: int, units: int, clips: int) -> dict[str, Any]:
    """Make shards, then merge them in a process of its own."""
    with tempfile.TemporaryDirectory() as scratch:
        fresh_process(write_shards, Path(scratch), units, shards, clips, K)
        bytes_there = sum(path.stat().st_size for path in Path(scratch).rglob("sums.safetensors"))
        return {"shards": shards, "units": units, "bytes_of_sums": bytes_there, **fresh_process(merging, scratch)}


def main() -> None:
    """Measure, print and write."""
    options = _options()
    console = Console(width=140)
    saved = fresh_process(checkpoints, options.clips, options.units, 5)
    merged = merge_of(options.shards, options.units, options.clips)
    prepared = fresh_process(preparation, 64)
    console.print(
        f"checkpoint {saved['seconds']['median']} s; merge {merged['seconds']} s, {merged['cpu_seconds']} s of CPU"
    )
    runs = []
    for clips in options.sizes:
        runs.append(fresh_process(long_run, clips, options.long_units))
        console.print(f"{clips:,} clips: {runs[-1]['peak_bytes'] / MEGABYTE:,.0f} MB, {runs[-1]['seconds']:,} s")
    grown = [(run["peak_bytes"] - runs[0]["peak_bytes"]) / MEGABYTE for run in runs]
    assumed = Assumptions(options.gpu_price, options.cpu_price, options.cores_a_gpu, options.gpus)
    parts = parts_of(RESULTS)
    beside = runs[-1]["cpu_seconds"] / runs[-1]["clips"]
    estimates = extrapolate(parts, beside, prepared, assumed)
    _print(console, runs, saved, merged, estimates)
    numbers = {
        "runs": runs,
        "growth_mb": [round(value, 1) for value in grown],
        "cpu_ms_a_clip": round(1e3 * beside, 3),
        "cpu_seconds_to_prepare_a_clip": prepared,
        "checkpoint": saved,
        "merge": merged,
        "measured_parts": [vars(part) for part in parts],
        "assumptions": vars(assumed),
        "estimates": estimates,
    }
    if options.write:
        targets = {"growth in MB": TARGET_MB, "seconds to merge 64 shards of 55,346 units": 60}
        console.print(f"wrote {write_report('scale', CPU, numbers, targets)}")


def _print(
    console: Console,
    runs: list[dict[str, Any]],
    saved: dict[str, Any],
    merged: dict[str, Any],
    estimates: list[dict[str, Any]],
) -> None:
    table = Table(
        "clips", "peak MB", "grown by", "CPU ms a clip", title=f"a run of a stub model, {runs[0]['units']} units"
    )
    for run in runs:
        grown = (run["peak_bytes"] - runs[0]["peak_bytes"]) / MEGABYTE
        each = 1e3 * run["cpu_seconds"] / run["clips"]
        table.add_row(f"{run['clips']:,}", f"{run['peak_bytes'] / MEGABYTE:,.0f}", f"{grown:,.1f}", f"{each:.3f}")
    console.print(table)
    console.print(
        f"a checkpoint of {saved['units']:,} units: {saved['bytes'] / MEGABYTE:,.0f} MB, "
        f"{saved['seconds']['median']} s ({saved['cpu_seconds']['median']} s of CPU), {saved['nodes']} nodes"
    )
    console.print(
        f"merging {merged['shards']} shards of {merged['units']:,} units and {merged['clips']:,} clips "
        f"({merged['bytes_of_sums'] / 1e9:.1f} GB): {merged['seconds']} s ({merged['cpu_seconds']} s of CPU), peak "
        f"{merged['peak_bytes'] / MEGABYTE:,.0f} MB"
    )
    table = Table(
        "corpus", "measured part", "GPU hours", "hours", "dollars", "bound by", title="if all overlaps, if nothing does"
    )
    for row in estimates:
        of = row["of"]
        spans = [" to ".join(f"{value:,}" for value in row[name]) for name in ("gpu_hours", "hours", "dollars")]
        table.add_row(row["corpus"], f"{of['what']} ({of['device']}, {of['date']})", *spans, row["bound_by"])
    console.print(table)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[200, 20_000, 2_000_000], help="clips of the runs")
    parser.add_argument(
        "--clips", type=int, default=2_000_000, help="clips of the run that checkpoints and shards are of"
    )
    parser.add_argument("--long-units", type=int, default=64, help="units of the runs")
    parser.add_argument("--units", type=int, default=55_346, help="units of checkpoints and merges")
    parser.add_argument("--shards", type=int, default=64)
    parser.add_argument("--gpu-price", type=float, default=3.0, help="assumed dollars an hour of a GPU and its machine")
    parser.add_argument("--cpu-price", type=float, default=0.0, help="assumed dollars an hour of a further CPU core")
    parser.add_argument("--cores-a-gpu", type=int, default=16, help="assumed CPU cores beside each GPU")
    parser.add_argument("--gpus", type=int, default=1, help="GPUs side by side")
    parser.add_argument("--no-write", dest="write", action="store_false", help="print only")
    return parser.parse_args()


if __name__ == "__main__":
    main()
