"""Ways to each unit's K highest clips, side by side on one model and the same clips: `python -m benchmarks.peers`.

Every way runs in a process of its own (`_peer_ways.py`), from its start to its end, in interleaved rounds: seconds by
the clock and of CPU, the most memory, the bytes that it leaves. Its clips are held against the total order (largest
value first, then the earlier clip) over the frames of each clip's own sound, and over the whole padded window.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soundfile
import torch
from rich.console import Console
from rich.table import Table
from safetensors.torch import load_file

from and_nnsight import Dissection
from benchmarks._generated_sounds import GeneratedSounds
from benchmarks._report import MEGABYTE, spread, write_report

ROOT = Path(__file__).parents[1]
NEEDS = {
    "semanticlens": ("semanticlens", "semanticlens zennit-crp zennit torchvision timm open-clip-torch ftfy"),
    "crp": ("crp", "zennit-crp zennit torchvision"),
    "crp_forward": ("crp", "zennit-crp zennit torchvision"),
}
"""The module that a peer is, and what to install for it, with --no-deps: their pins do not all agree with ours."""
WAYS = ("ours", "hooks", "store", "semanticlens", "crp_forward", "crp")
TARGETS = {"seconds of ours over hooks, whole process": 1.02, "peak MB of ours above hooks": 100, "ids of ours": 1.0}


class Cost(NamedTuple):
    """What a run of a way cost: seconds by the clock and of CPU, bytes of memory at most, bytes left on the disk."""

    wall: float
    cpu: float
    peak: int
    disk: int


class Setting(NamedTuple):
    """What all ways are given."""

    model: Path
    sounds: Path
    batch_size: int
    k: int


def run_way(way: str, setting: Setting, out: Path) -> Cost:
    """Run a way in a process of its own. Raises RuntimeError, with the end of what it said, if it fails."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    values = (way, setting.model, setting.sounds, out, setting.batch_size, setting.k)
    command = [sys.executable, "-m", "benchmarks._peer_ways", *map(str, values)]
    began = time.perf_counter()
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, cwd=ROOT, stdout=said, stderr=subprocess.STDOUT)
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        text = said.read().decode("utf-8", "replace")
    if process.returncode:
        raise RuntimeError(f"{way} failed:\n{text[-2_000:]}")
    peak = int(text.split()[-1])
    disk = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    return Cost(wall, used.ru_utime + used.ru_stime, peak, disk)


# -- whose clips ----------------------------------------------------------------------------------------------------

Clips = list[np.ndarray]
"""For each block the ids [k, unit] of each unit's highest clips, the highest first."""


def best_of(values: torch.Tensor, k: int) -> np.ndarray:
    """The clips of the k largest values of each unit in the total order, [k, unit]; values [clip, unit]."""
    # A stable sort leaves the earlier clip first among equals.
    return values.sort(dim=0, descending=True, stable=True).indices[:k].numpy()


def oracle_clips(out: Path, kind: str, k: int) -> Clips:
    """Those of the oracle, over frames of "sound" or of the whole "window"."""
    values = load_file(out / "oracle.safetensors")
    return [best_of(values[f"{name}.{kind}"], k) for name in _layer_names(values)]


def _layer_names(names: Mapping[str, Any]) -> list[str]:
    found = {name.rpartition(".")[0] for name in names}
    return sorted(found, key=lambda name: int(name.split(".")[1]))


def _clips_of_ours(out: Path) -> Clips:
    dissection = Dissection.load(out)
    return [dissection[site].top.clips.numpy() for site in dissection.sites]


def _clips_of_tensors(out: Path) -> Clips:
    (file,) = out.glob("*.safetensors")
    tensors = load_file(file)
    return [tensors[f"{name}.clips"].numpy() for name in _layer_names(tensors)]


def _clips_of_semanticlens(out: Path) -> Clips:
    files = sorted(out.glob("*.safetensors"), key=lambda file: int(file.name.partition("layers.")[2].partition(".")[0]))
    return [load_file(file)["sample_ids"].T.numpy() for file in files]


def _clips_of_crp(out: Path) -> Clips:
    files = sorted(out.rglob("ActMax*/*data.npy"), key=lambda file: int(file.name.split(".")[2]))
    return [np.load(file) for file in files]


READERS: dict[str, Callable[[Path], Clips]] = {
    "ours": _clips_of_ours, "hooks": _clips_of_tensors, "store": _clips_of_tensors,
    "semanticlens": _clips_of_semanticlens, "crp": _clips_of_crp, "crp_forward": _clips_of_crp,
}  # fmt: skip


def share_equal(theirs: Clips, right: Clips) -> float:
    """Share of places in all lists that hold the right clip."""
    if [block.shape for block in theirs] != [block.shape for block in right]:
        raise ValueError(f"lists of {[block.shape for block in theirs]}, not {[block.shape for block in right]}")
    equal = sum(int((block == truth).sum()) for block, truth in zip(theirs, right, strict=True))
    return equal / sum(block.size for block in right)


# -- model and sounds -----------------------------------------------------------------------------------------------


def random_whisper(folder: Path) -> Path:
    """A checkpoint of Whisper tiny.en's geometry with random weights."""
    from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration

    torch.manual_seed(0)
    WhisperForConditionalGeneration(WhisperConfig(vocab_size=51_864)).save_pretrained(folder)
    WhisperFeatureExtractor().save_pretrained(folder)
    return folder


def gather_sounds(source: Path | None, clips: int, folder: Path) -> Path:
    """So many wav files with names in order: spread over those of a folder, else generated."""
    folder.mkdir()
    if source is None:
        for number, sound in zip(range(clips), GeneratedSounds(clips), strict=False):
            soundfile.write(folder / f"{number:06}.wav", sound["array"], sound["sampling_rate"])
        return folder
    files = sorted(source.rglob("*.wav"))
    if len(files) < clips:
        raise ValueError(f"{source} holds {len(files)} wav files, not {clips}")
    for number in range(clips):
        shutil.copyfile(files[number * (len(files) // clips)], folder / f"{number:06}.wav")
    return folder


# -- command line ---------------------------------------------------------------------------------------------------


def measure(ways: Sequence[str], setting: Setting, scratch: Path, rounds: int) -> list[dict[str, Any]]:
    """Every way's costs over interleaved rounds, and how far its clips are those of the total order."""
    run_way("oracle", setting, scratch / "oracle")
    right = {kind: oracle_clips(scratch / "oracle", kind, setting.k) for kind in ("sound", "window")}
    costs: dict[str, list[Cost]] = {way: [] for way in ways}
    for number in range(rounds):
        turn = number % len(ways)
        for way in (*ways[turn:], *ways[:turn]):
            costs[way].append(run_way(way, setting, scratch / way))
    rows = []
    for way in ways:
        clips = READERS[way](scratch / way)
        shares = {kind: share_equal(clips, truth) for kind, truth in right.items()}
        row: dict[str, Any] = {"way": way}
        row |= {name: spread([getattr(cost, name) for cost in costs[way]]) for name in Cost._fields}
        row |= {f"ids_equal_over_{kind}": round(share, 4) for kind, share in shares.items()}
        rows.append(row | {"padding_excluded": shares["sound"] > shares["window"]})
    return rows


def against_hooks(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Ours against plain hooks: seconds as ratios of medians and of the least, and memory as a difference."""
    ours, hooks = (next(row for row in rows if row["way"] == way) for way in ("ours", "hooks"))
    ratios = {
        f"{name}_{what}": round(ours[name][what] / hooks[name][what], 4)
        for name in ("wall", "cpu")
        for what in ("median", "min")
    }
    return ratios | {"peak_mb_above": round((ours["peak"]["median"] - hooks["peak"]["median"]) / MEGABYTE)}


def installed(ways: Sequence[str]) -> list[str]:
    """Of the ways those whose packages are here; of the others, how to have them is said."""
    here = []
    for way in ways:
        module, packages = NEEDS.get(way, ("torch", ""))
        if importlib.util.find_spec(module) is not None:
            here.append(way)
        else:
            print(f"{way} is left out: it is not installed (pip install --no-deps {packages})")
    return here


def print_rows(rows: Sequence[Mapping[str, Any]], compared: Mapping[str, float]) -> None:
    """The table, and ours against plain hooks in a line."""
    columns = (
        "way",
        "wall s",
        "lowest",
        "CPU s",
        "lowest",
        "peak MB",
        "disk MB",
        "ids, own sound",
        "ids, window",
        "padding",
    )
    table = Table(*columns, title="each unit's highest clips, whole process")
    for row in rows:
        seconds = [f"{row[name][what]:.1f}" for name in ("wall", "cpu") for what in ("median", "min")]
        sizes = [f"{row['peak']['median'] / MEGABYTE:,.0f}", f"{row['disk']['median'] / MEGABYTE:.1f}"]
        shares = [f"{row[f'ids_equal_over_{kind}']:.3f}" for kind in ("sound", "window")]
        table.add_row(row["way"], *seconds, *sizes, *shares, "excluded" if row["padding_excluded"] else "heard")
    Console(width=130).print(table)
    print("ours over plain hooks: " + ", ".join(f"{name} {value:g}" for name, value in compared.items()))


def main() -> None:
    """Measure what the command line asks for, print it and write it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=(__doc__ or "").partition(":")[0])
    parser.add_argument(
        "--model", type=Path, help="folder of a Whisper checkpoint (random weights of tiny.en's geometry)"
    )
    parser.add_argument("--sounds", type=Path, help="folder of wav files at 16 kHz (generated sounds)")
    parser.add_argument("--clips", type=int, default=100)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--k", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS, help="ours and hooks always run")
    parser.add_argument("--no-write", dest="write", action="store_false", help="print only")
    options = parser.parse_args()
    ways = installed([way for way in WAYS if way in {*options.ways, "ours", "hooks"}])
    if "crp" in ways and options.clips % options.batch_size == 1:
        parser.error("zennit-crp cannot run a last batch of one clip: choose another --clips or --batch-size")
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        model = options.model.absolute() if options.model else random_whisper(scratch / "model")
        sounds = gather_sounds(options.sounds, options.clips, scratch / "sounds")
        rows = measure(ways, Setting(model, sounds, options.batch_size, options.k), scratch, options.rounds)
    compared = against_hooks(rows)
    print_rows(rows, compared)
    if options.write:
        about = {"clips": options.clips, "batch_size": options.batch_size, "k": options.k, "rounds": options.rounds}
        weights = "given" if options.model else "random"
        report = {**about, "weights": weights, "ours_over_hooks": compared, "ways": rows}
        print(f"wrote {write_report('peers', torch.device('cpu'), report, TARGETS)}")


if __name__ == "__main__":
    main()
