"""Clips a second from encoded files to the top-K, by format and number of workers: `python -m benchmarks.throughput`.

Each rate is that of the last three quarters of the clips, so that start-up is left out; seconds of the whole are given
too. Clips are ten seconds of generated sound at 16 kHz, the sites "paper", K is 16.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import soundfile
import torch

from and_nnsight import AudioModel, dissect
from and_nnsight.progress import ClipProgress
from benchmarks._report import cores, timed, write_report
from benchmarks._subjects import GEOMETRIES, make_subject

RATE, SECONDS = 16_000, 10
FORMATS = ("wav", "flac")
TARGETS = {"ast-base, one GPU: clips a second": 556}


@dataclass(frozen=True)
class Row:
    """One way of reading, and what it reached."""

    format: str
    workers: int
    clips: int
    seconds: float
    clips_a_second: float


def write_clip(folder: Path, suffix: str, number: int) -> None:
    """Ten seconds of noise under a tone that comes and goes."""
    random = np.random.default_rng(number)
    place = np.arange(RATE * SECONDS, dtype=np.float32) / RATE
    tone = np.sin(2 * np.pi * random.uniform(100, 4_000) * place) * np.sin(2 * np.pi * random.uniform(0.2, 2) * place)
    noise = random.standard_normal(len(place), dtype=np.float32) * random.uniform(0.01, 0.1)
    soundfile.write(folder / f"{number:06}.{suffix}", 0.3 * tone + noise, RATE, subtype="PCM_16")


def write_clips(folder: Path, suffix: str, clips: int) -> None:
    """A folder of so many clips."""
    folder.mkdir()
    with ThreadPoolExecutor(cores()) as pool:
        list(pool.map(partial(write_clip, folder, suffix), range(clips)))


@contextmanager
def batch_times() -> Iterator[list[tuple[float, int]]]:
    """While open, the time at which each batch of a run was done with, and how many clips it had."""
    times: list[tuple[float, int]] = []
    advance = ClipProgress.advance

    def clocked(bar: ClipProgress, clips: int, *rest: Any) -> None:
        times.append((time.perf_counter(), clips))
        advance(bar, clips, *rest)

    with patch.object(ClipProgress, "advance", clocked):
        yield times


def measure(model: AudioModel, folder: Path, scratch: Path, workers: int, clips: int, batch_size: int) -> Row:
    """Dissect so many clips into a fresh folder."""
    out = scratch / "run"
    options = {"limit": clips, "num_workers": workers, "batch_size": batch_size, "progress": False}
    with batch_times() as times:
        seconds = timed(partial(dissect, model, folder, "paper", 16, out=out, **options), model.device).wall
    shutil.rmtree(out)
    counted = times[len(times) // 4 :]
    rate = sum(size for _, size in counted[1:]) / (counted[-1][0] - counted[0][0])
    return Row(folder.name, workers, clips, round(seconds, 2), round(rate, 1))


def measure_all(model: AudioModel, options: argparse.Namespace) -> Iterator[Row]:
    """Every format with every number of workers."""
    with tempfile.TemporaryDirectory() as place:
        scratch = Path(place)
        for suffix in options.format:
            write_clips(scratch / suffix, suffix, options.clips)
        measure(model, scratch / options.format[0], scratch, 0, 2 * options.batch_size, options.batch_size)  # warm up
        for suffix, workers in product(options.format, options.workers):
            yield measure(model, scratch / suffix, scratch, workers, options.clips, options.batch_size)


def main() -> None:
    """Measure, print and write."""
    options = _options()
    device = torch.device(options.device)
    subject = make_subject(GEOMETRIES[options.geometry](), device, getattr(torch, options.dtype))
    rows = []
    for row in measure_all(subject.model, options):
        rows.append(asdict(row))
        print(
            f"{row.format}, {row.workers} workers: {row.clips_a_second} clips/s; {row.clips} clips in {row.seconds} s"
        )
    report = {"geometry": options.geometry, "dtype": options.dtype, "batch_size": options.batch_size, "rows": rows}
    if device.type == "cuda":
        report["peak_device_bytes"] = torch.cuda.max_memory_allocated(device)
        print(f"peak device memory {report['peak_device_bytes'] / 1e9:.2f} GB")
    if options.write:
        print(f"wrote {write_report('throughput', device, report, TARGETS)}")


def _options() -> argparse.Namespace:
    gpu = torch.cuda.is_available()
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.throughput", description=(__doc__ or "").partition(":")[0]
    )
    parser.add_argument("--device", default="cuda" if gpu else "cpu")
    parser.add_argument("--geometry", choices=GEOMETRIES, default="ast-base" if gpu else "tiny")
    parser.add_argument("--dtype", default="bfloat16" if gpu else "float32")
    parser.add_argument("--batch-size", type=int, default=64 if gpu else 8)
    parser.add_argument("--clips", type=int, default=1_536 if gpu else 64)
    parser.add_argument("--format", nargs="+", choices=FORMATS, default=FORMATS)
    parser.add_argument("--workers", nargs="+", type=int, default=[0, 4, min(16, os.cpu_count() or 1)])
    parser.add_argument("--no-write", dest="write", action="store_false", help="print only")
    return parser.parse_args()


if __name__ == "__main__":
    main()
