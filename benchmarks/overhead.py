"""What a dissection costs over a bare forward, and over storing everything: `python -m benchmarks.overhead`.

Steps     seconds of a forward with each way of collecting, as a ratio to bare forwards of the unwrapped model right
          before and after it. "filling": the top-K is empty, every clip enters. "steady": it has seen 2,000 clips.
Files     seconds from a folder of wav files to the top-K: `dissect` against one loop at batch 1 that stores everything.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soundfile
import torch
from rich.console import Console
from torch import Tensor

from and_nnsight import Dissection, dissect
from and_nnsight.model.features import Features
from and_nnsight.run.collector import BatchCollector
from and_nnsight.sites.hooks import site_hooks
from and_nnsight.sites.site import Site, clip_frame_unit
from and_nnsight.statistics.units import UnitStatistics
from benchmarks._report import PeakMemory, Timing, fresh_process, print_files, print_steps, spread, timed, write_report
from benchmarks._subjects import GEOMETRIES, Subject, make_subject

K = 16
SEEN = 2_000  # clips that a steady top-K has seen: ESC-50's number
TARGETS = {
    "ast-base: trace over bare, CPU": 1.10,
    "ast-base: trace over bare, GPU": 1.05,
    "files: times faster than storing everything, CPU": 1.0,
    "files: times faster than storing everything, GPU": 20.0,
}
MEASURES = ("steps", "memory", "files")


class StoreEverything:
    """The rule that dissections are usually made by: keep every clip's value of every unit, sort at the end."""

    def __init__(self) -> None:
        self.kept: dict[str, list[Tensor]] = defaultdict(list)

    def take(self, site: Site, value: Tensor) -> None:
        """Keep the largest activation of each clip and unit, where the activation lies."""
        self.kept[site.name].append(clip_frame_unit(value)[:, site.special_tokens :].amax(1).float())

    def finish(self, k: int = K) -> dict[str, tuple[Tensor, Tensor]]:
        """The clips of each site's k highest and k lowest values, each [k, unit]."""
        extremes = {}
        for site, parts in self.kept.items():
            values = torch.cat(parts)
            kept = min(k, len(values))
            extremes[site] = values.topk(kept, 0).indices, values.topk(kept, 0, largest=False).indices
        return extremes


# -- steps ----------------------------------------------------------------------------------------------------------

Step = Callable[[Features, list[int]], None]


def bare_step(subject: Subject) -> Step:
    """A forward of the unwrapped model, and nothing else."""

    def step(features: Features, clips: list[int]) -> None:
        with torch.inference_mode():
            subject.bare(**features)

    return step


def hooks_step(subject: Subject, statistics: UnitStatistics) -> Step:
    """A forward with plain torch hooks that feed the statistics."""
    collector = BatchCollector(statistics)

    def step(features: Features, clips: list[int]) -> None:
        collector.begin(clips, [subject.seconds] * len(clips), subject.device)
        with torch.inference_mode(), site_hooks(subject.bare, subject.sites, collector.collect):
            subject.bare(**features)
        collector.end()

    return step


def trace_step(subject: Subject, statistics: UnitStatistics) -> Step:
    """What `dissect` does with a batch: an nnsight trace that feeds the statistics."""
    collector = BatchCollector(statistics)

    def step(features: Features, clips: list[int]) -> None:
        collector.begin(clips, [subject.seconds] * len(clips), subject.device)
        subject.model.run(subject.sites, features, collector.collect)
        collector.end()

    return step


def store_step(subject: Subject, store: StoreEverything) -> Step:
    """A forward with hooks that store every clip's values; the sort at the end is not in it."""

    def step(features: Features, clips: list[int]) -> None:
        with torch.inference_mode(), site_hooks(subject.bare, subject.sites, store.take):
            subject.bare(**features)

    return step


def make_step(variant: str, subject: Subject, statistics: UnitStatistics, store: StoreEverything) -> Step:
    """One of the ways by name: bare, hooks, trace, store."""
    if variant == "bare":
        return bare_step(subject)
    if variant == "store":
        return store_step(subject, store)
    return {"hooks": hooks_step, "trace": trace_step}[variant](subject, statistics)


def fill(statistics: UnitStatistics, seen: int = SEEN) -> None:
    """Bring a top-K to where it stands after `seen` clips like those it has seen.

    Each unit's values are drawn from a normal distribution of its own mean and variance, so that the next batch
    changes as few units as it would in a real run.
    """
    moments = statistics.moments.state
    deviation = (moments.squares / (moments.count - 1).clamp(min=1)).sqrt()
    for kept, sign in ((statistics.top, 1), (statistics.bottom, -1)):
        values = torch.empty(kept.k, kept.units, device=kept.device)
        clips = torch.empty(kept.k, kept.units, dtype=torch.int64, device=kept.device)
        for units in torch.arange(kept.units, device=kept.device).split(2_048):
            drawn = moments.mean[units] + deviation[units] * torch.randn(seen, len(units), device=kept.device)
            best = (sign * drawn).T.contiguous().topk(kept.k)
            values[:, units], clips[:, units] = sign * best.values.T.float(), best.indices.T
        frames, ties = torch.ones_like(clips, dtype=torch.int32), torch.zeros_like(clips[0])
        kept.load_state_dict({"values": values, "clips": clips, "frames": frames, "ties": ties})
    statistics.clips = seen


class Way(NamedTuple):
    """A way of collecting, and the state its top-K starts a sample in ("" where it has none)."""

    variant: str
    state: str


BARE = Way("bare", "")
WAYS = [Way(variant, state) for variant in ("hooks", "trace") for state in ("filling", "steady")]
WAYS.append(Way("store", ""))


def measure_steps(subject: Subject, batch_size: int, rounds: int, steps: int, seen: int = SEEN) -> dict[str, Any]:
    """Each way's seconds a step and its ratio to the bare forward, over interleaved rounds.

    In a round every way runs once, each between two bare forwards on the same inputs; a sample is `steps` steps.
    """
    torch.manual_seed(0)
    statistics, store = UnitStatistics(subject.widths, k=K, device=subject.device), StoreEverything()
    run = {way.variant: make_step(way.variant, subject, statistics, store) for way in (BARE, *WAYS)}
    states = {"filling": statistics.state_dict()}
    for number in range(max(2, 8 // batch_size)):  # warm up, and learn each unit's distribution
        run["trace"](subject.features(batch_size), list(range(number * batch_size, (number + 1) * batch_size)))
    for variant in ("bare", "hooks", "store"):
        run[variant](subject.features(batch_size), list(range(10**6, 10**6 + batch_size)))
    fill(statistics, seen)
    states["steady"] = statistics.state_dict()

    def sample(variant: str, inputs: list[Features]) -> Timing[Any]:
        ids = [list(range(10**7 + i * batch_size, 10**7 + (i + 1) * batch_size)) for i in range(steps)]
        return timed(lambda: [run[variant](*pair) for pair in zip(inputs, ids, strict=True)], subject.device)

    wall: dict[Way, list[float]] = defaultdict(list)
    ratios: dict[Way, list[float]] = defaultdict(list)
    cpu_ratios: dict[Way, list[float]] = defaultdict(list)
    changed: list[float] = []
    for number in range(rounds):
        inputs = [subject.features(batch_size) for _ in range(steps)]
        before = sample("bare", inputs)
        for way in WAYS[number % len(WAYS) :] + WAYS[: number % len(WAYS)]:
            store.kept.clear()
            if way.state:
                statistics.load_state_dict(states[way.state])
            taken = sample(way.variant, inputs)
            if way == ("trace", "steady"):
                changed.append(_share_changed(statistics, states["steady"]) / steps)
            after = sample("bare", inputs)
            wall[way].append(taken.wall / steps)
            wall[BARE].append(before.wall / steps)
            ratios[way].append(2 * taken.wall / (before.wall + after.wall))
            cpu_ratios[way].append(2 * taken.cpu / (before.cpu + after.cpu))
            before = after
    rows: list[dict[str, Any]] = [way._asdict() | {"seconds": spread(wall[way])} for way in (BARE, *WAYS)]
    for row, way in zip(rows[1:], WAYS, strict=True):
        fastest = min(wall[way]) / min(wall[BARE])
        row |= {"ratio": spread(ratios[way]), "fastest": round(fastest, 4), "cpu_ratio": spread(cpu_ratios[way])}
    return {"batch_size": batch_size, "rounds": rounds, "steps": steps, "k": K, "units": statistics.units,
            "steady_after_clips": seen, "units_changed_in_a_steady_step": spread(changed), "ways": rows}  # fmt: skip


def _share_changed(statistics: UnitStatistics, state: dict[str, Tensor]) -> float:
    now = statistics.state_dict()
    changed = (now["top.clips"] != state["top.clips"]).any(0) | (now["bottom.clips"] != state["bottom.clips"]).any(0)
    return float(changed.float().mean())


def peak_of_steps(geometry: str, dtype: str, device: str, variant: str, batch_size: int, steps: int = 3) -> int:
    """Bytes that a few steps need at most on top of the loaded model; on the CPU, call it in a process of its own."""
    where = torch.device(device)
    subject = make_subject(GEOMETRIES[geometry](), where, getattr(torch, dtype))
    statistics, store = UnitStatistics(subject.widths, k=K, device=where), StoreEverything()
    step = make_step(variant, subject, statistics, store)

    def run() -> None:
        for number in range(steps):
            step(subject.features(batch_size), list(range(number * batch_size, (number + 1) * batch_size)))

    if where.type == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        return torch.cuda.max_memory_allocated() - before
    with PeakMemory() as memory:
        run()
    return memory.peak - memory.before


# -- from files -----------------------------------------------------------------------------------------------------


def write_wavs(folder: Path, clips: int, subject: Subject) -> None:
    """Clips of noise under a tone, each as long as the model's window."""
    rate, length = subject.model.sampling_rate, subject.model.featuriser.window_samples or 16_000
    time_axis = np.arange(length, dtype=np.float32) / rate
    for clip in range(clips):
        generator = np.random.default_rng(clip)
        noise = generator.standard_normal(length, dtype=np.float32) * generator.uniform(0.01, 0.1)
        tone = np.sin(2 * np.pi * generator.uniform(100, 4_000) * time_axis) * generator.uniform(0.0, 0.3)
        soundfile.write(folder / f"{clip:06}.wav", noise + tone, rate)


def store_from_files(subject: Subject, folder: Path, limit: int | None = None) -> dict[str, tuple[Tensor, Tensor]]:
    """Decode, extract features, run and store, one clip at a time in this process; sort at the end."""
    store, extractor = StoreEverything(), subject.model.featuriser.extractor
    dtype = next(subject.bare.parameters()).dtype
    with torch.inference_mode(), site_hooks(subject.bare, subject.sites, store.take):
        for path in sorted(folder.iterdir())[:limit]:
            samples, rate = soundfile.read(path, dtype="float32")
            features = extractor(samples, sampling_rate=rate, return_tensors="pt")["input_values"]
            subject.bare(features.to(subject.device, dtype))
    return {site: (top.cpu(), bottom.cpu()) for site, (top, bottom) in store.finish().items()}


def measure_files(subject: Subject, clips: int, batch_size: int, workers: int, repeats: int) -> dict[str, Any]:
    """Seconds of both, one after the other `repeats` times, and how far they agree on each unit's clips."""
    seconds: dict[str, list[float]] = {"dissect": [], "store": []}
    last: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "clips"
        folder.mkdir()
        write_wavs(folder, clips, subject)
        options = {"batch_size": batch_size, "num_workers": workers, "progress": False}
        ours = partial(dissect, subject.model, folder, "paper", K, **options)
        ours(out=Path(scratch) / "warm", limit=2)  # what a first call loads is in neither's time
        store_from_files(subject, folder, limit=2)
        for repeat in range(repeats):
            ways = {
                "dissect": partial(ours, out=Path(scratch) / f"run-{repeat}"),
                "store": partial(store_from_files, subject, folder),
            }
            for way in sorted(ways, reverse=repeat % 2 == 0):
                timing = timed(ways[way], subject.device)
                seconds[way].append(timing.wall)
                last[way] = timing.value
        same = _agreement(last["dissect"], last["store"])
    ratios = [store / ours for store, ours in zip(seconds["store"], seconds["dissect"], strict=True)]
    measured = {way: spread(values) for way, values in seconds.items()}
    about = {"clips": clips, "batch_size": batch_size, "workers": workers}
    return about | measured | {"times_faster": spread(ratios), "same_clips": round(same, 4)}


def _agreement(dissection: Dissection, stored: dict[str, tuple[Tensor, Tensor]]) -> float:
    """Share of the kept clips that both name. Below 1 only where batching changes a value's last bits."""
    shares = []
    for site, (top, bottom) in stored.items():
        for ours, theirs in ((dissection[site].top.clips, top), (dissection[site].bottom.clips, bottom)):
            shares.append((ours[: len(theirs)].unsqueeze(0) == theirs.unsqueeze(1)).any(0).float().mean())
    return float(torch.stack(shares).mean())


# -- command line ---------------------------------------------------------------------------------------------------


def main() -> None:
    """Measure what the command line asks for, print it and write it."""
    options = _options()
    device = torch.device(options.device)
    gpu = device.type == "cuda"
    if options.threads:
        torch.set_num_threads(options.threads)
    report: dict[str, Any] = {"steps": [], "files": []}
    for geometry in options.geometry:
        for dtype in options.dtype:
            subject = make_subject(GEOMETRIES[geometry](), device, getattr(torch, dtype))
            about = {"geometry": geometry, "dtype": dtype}
            if "steps" in options.measure:
                large = geometry != "tiny"
                batch_size = options.batch_size or (64 if gpu else 2 if large else 16)
                rounds = options.rounds or (10 if gpu else 6 if large else 40)
                row = about | measure_steps(subject, batch_size, rounds, steps=10 if gpu else 1)
                if "memory" in options.measure:
                    peak = partial(peak_of_steps, geometry, dtype, str(device))
                    for way in row["ways"]:
                        arguments = (way["variant"], batch_size)
                        if way["state"] != "steady":  # memory does not hang on the state
                            way["peak_bytes"] = peak(*arguments) if gpu else fresh_process(peak, *arguments)
                report["steps"].append(row)
                print_steps(row)
            if "files" in options.measure and (gpu or geometry == "tiny") and dtype == "float32":
                row = about | measure_files(subject, options.clips, 32, options.workers, options.repeats)
                report["files"].append(row)
                print_files(row)
    if options.write:
        Console().print(f"wrote {write_report('overhead', device, report, TARGETS)}")


def _options() -> argparse.Namespace:
    gpu = torch.cuda.is_available()
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.overhead", description=(__doc__ or "").partition(":")[0]
    )
    parser.add_argument("--device", default="cuda" if gpu else "cpu")
    parser.add_argument("--geometry", nargs="+", choices=GEOMETRIES, default=list(GEOMETRIES))
    dtypes = ["float32", "bfloat16"] if gpu else ["float32"]
    parser.add_argument("--dtype", nargs="+", choices=["float32", "bfloat16"], default=dtypes)
    parser.add_argument("--measure", nargs="+", choices=MEASURES, default=MEASURES)
    parser.add_argument("--batch-size", type=int, help="clips a step (GPU: 64; CPU: 2 for ast-base, 16 for tiny)")
    parser.add_argument("--rounds", type=int, help="rounds of the steps (GPU: 10; CPU: 6 for ast-base, 40 for tiny)")
    parser.add_argument("--clips", type=int, default=2_000 if gpu else 200, help="wav files")
    parser.add_argument("--workers", type=int, default=14 if gpu else 0, help="worker processes of dissect")
    parser.add_argument("--repeats", type=int, default=1 if gpu else 3, help="times that the files are gone through")
    parser.add_argument("--threads", type=int, help="CPU threads of torch (its own choice)")
    parser.add_argument("--no-write", dest="write", action="store_false", help="print only")
    return parser.parse_args()


if __name__ == "__main__":
    main()
