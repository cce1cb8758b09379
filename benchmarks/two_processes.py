"""Two processes against one on the same machine: `python -m benchmarks.two_processes --model M --sounds DIR`.

One process on one core against two ranks under torchrun, with one thread of torch each, over the same files, in
interleaved rounds. One process is pinned to its core: it prepares the next batch in a thread, which would take a second
one. The seconds are of whole commands, from start to end, so that imports, the opening of the model and the merge of
both shards are within them; the ratio of clips a second also between the long and a short run, where these constant
seconds fall out. Every file of the merged dissection is held against the one process's, byte for byte.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import torch
from rich.console import Console
from rich.table import Table

from benchmarks._report import spread, write_report

TARGETS = {"clips a second of two processes over one": 1.9, "files that differ": 0}
ONE = (sys.executable, "-m", "and_nnsight")
TWO = (sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone", "-m", "and_nnsight")


class Setting(NamedTuple):
    """What both are given."""

    model: str
    sounds: str
    batch_size: int


def seconds(command: tuple[str, ...], cores: set[int], setting: Setting, clips: int, out: Path) -> float:
    """Seconds by the clock of a whole command. Raises RuntimeError, with the end of what it said, if it fails."""
    shutil.rmtree(out, ignore_errors=True)
    options = ("--batch-size", str(setting.batch_size), "--limit", str(clips), "--out", str(out), "--quiet")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    began = time.perf_counter()
    ended = subprocess.run(
        [*command, "dissect", setting.model, setting.sounds, *options],
        env=environment, capture_output=True, text=True, errors="replace",
        preexec_fn=lambda: os.sched_setaffinity(0, cores),
    )  # fmt: skip
    took = time.perf_counter() - began
    if ended.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{ended.stderr[-2_000:]}")
    return took


def different_files(one: Path, two: Path) -> list[str]:
    """Names of the files that are not the same in both folders, the ranks' own shards aside."""
    names = {str(path.relative_to(folder)) for folder in (one, two) for path in folder.rglob("*") if path.is_file()}
    merged = {name for name in names if not name.startswith("shards/")}
    return sorted(name for name in merged if not _same(one / name, two / name))


def _same(one: Path, two: Path) -> bool:
    return one.is_file() and two.is_file() and one.read_bytes() == two.read_bytes()


def compare(setting: Setting, sizes: tuple[int, int], rounds: int, work: Path) -> dict[str, Any]:
    """Both ways at both sizes in interleaved rounds."""
    short, long = sizes
    every = sorted(os.sched_getaffinity(0))[:2]
    took: dict[str, list[float]] = {f"{way}, {clips} clips": [] for way in ("one", "two") for clips in sizes}
    whole, steady, different = [], [], set()
    for _ in range(rounds):
        for clips in sizes:
            for way, command, cores in (("one", ONE, {every[0]}), ("two", TWO, set(every))):
                took[f"{way}, {clips} clips"].append(seconds(command, cores, setting, clips, work / way))
            different |= set(different_files(work / "one", work / "two"))
        one, two = took[f"one, {long} clips"][-1], took[f"two, {long} clips"][-1]
        whole.append(one / two)
        steady.append((one - took[f"one, {short} clips"][-1]) / (two - took[f"two, {short} clips"][-1]))
    return {
        "clips": list(sizes),
        "seconds": {name: spread(values) for name, values in took.items()},
        "times_faster_whole_commands": spread(whole),
        "times_faster_between_the_sizes": spread(steady),
        "files_that_differ": sorted(different),
    }


def main() -> None:
    """Run, print a table and write the results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.two_processes", description=__doc__)
    parser.add_argument("--model", required=True, help="folder or id of the checkpoint")
    parser.add_argument("--sounds", required=True, help="folder of sounds")
    parser.add_argument("--clips", type=int, nargs=2, default=(40, 240), help="clips of the short and of the long run")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no-write", action="store_true", help="print only")
    options = parser.parse_args()
    setting = Setting(options.model, options.sounds, options.batch_size)
    with tempfile.TemporaryDirectory() as work:
        numbers = compare(setting, tuple(options.clips), options.rounds, Path(work))
    table = Table("run", "seconds", "lowest", "highest", title="one process and two")
    for name, row in numbers["seconds"].items():
        table.add_row(name, *(f"{row[key]:.1f}" for key in ("median", "min", "max")))
    Console(width=120).print(table)
    print(numbers["times_faster_whole_commands"], numbers["times_faster_between_the_sizes"])
    print("files that differ:", ", ".join(numbers["files_that_differ"]) or "none")
    if not options.no_write:
        print(write_report("two_processes", torch.device("cpu"), numbers, TARGETS))


if __name__ == "__main__":
    main()
