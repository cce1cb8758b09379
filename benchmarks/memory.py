"""Whether a run's memory grows with its clips: `python -m benchmarks.memory`.

Peak resident memory of `dissect` at 200, 2,000 and 20,000 clips of half a second, each in a process of its own, and of
the rule that stores everything, on the same stream of the same clips through the same tiny model.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from transformers import ASTConfig, ASTFeatureExtractor, ASTForAudioClassification

from and_nnsight import AudioModel, dissect
from and_nnsight.data import batches, open_source
from and_nnsight.sites.hooks import site_hooks
from benchmarks._report import MEGABYTE, PeakMemory, fresh_process, timed, write_report
from benchmarks.overhead import K, StoreEverything

RATE = 16_000
CLIP = 7_840  # samples: half a second, just inside what the model hears
TARGET_MB = 50
_BANK_SECONDS = 60


class Noise:
    """So many clips of half a second, each a different stretch of the same minute of noise; made on demand."""

    def __init__(self, clips: int) -> None:
        self.clips = clips
        self._bank = np.random.default_rng(0).standard_normal(_BANK_SECONDS * RATE, dtype=np.float32) * 0.1

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """The clips, from the first on."""
        for clip in range(self.clips):
            start = (clip * 7_919) % (len(self._bank) - CLIP)
            array = self._bank[start : start + CLIP]
            yield {"array": array, "sampling_rate": RATE, "path": f"clips/{clip:06}.wav", "label": f"class {clip % 50}"}


def tiny_model() -> AudioModel:
    """An AST of two narrow layers with wide MLPs, so that units are many (4,234) and a clip costs little."""
    torch.manual_seed(0)
    config = ASTConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=2_048,
        max_length=48,
        num_mel_bins=16,
        frequency_stride=16,
        time_stride=16,
    )
    config.num_labels = 10
    extractor = ASTFeatureExtractor(num_mel_bins=16, max_length=48)
    return AudioModel(ASTForAudioClassification(config).eval(), feature_extractor=extractor)


def _dissect(model: AudioModel, clips: int, batch_size: int) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        dissect(model, Noise(clips), "paper", K, batch_size=batch_size, out=Path(scratch) / "run", progress=False)


def _store(model: AudioModel, clips: int, batch_size: int) -> None:
    store, featuriser, module = StoreEverything(), model.featuriser, model._module
    stream = batches(
        open_source(Noise(clips)),
        sampling_rate=featuriser.sampling_rate,
        featurise=featuriser,
        batch_size=batch_size,
    )
    with torch.inference_mode(), site_hooks(module, model.sites("paper"), store.take):
        for batch in stream:
            if batch.inputs is not None:
                module(**batch.inputs)
    store.finish()


def peak_of_run(way: str, clips: int, batch_size: int) -> dict[str, float]:
    """Peak resident bytes of a whole run ("dissect" or "store"), and its seconds. Call it in a process of its own."""
    torch.set_num_threads(1)  # operations this small gain nothing from more, and lose much on a busy machine
    model = tiny_model()
    run = {"dissect": _dissect, "store": _store}[way]
    with PeakMemory() as memory:
        seconds = timed(lambda: run(model, clips, batch_size), torch.device("cpu")).wall
    return {"peak_bytes": memory.peak, "before_bytes": memory.before, "seconds": round(seconds, 2)}


def measure(sizes: Sequence[int], ways: Sequence[str], batch_size: int, repeats: int = 1) -> list[dict[str, Any]]:
    """A row a way and size; of repeated runs the one with the median peak."""
    rows = []
    for way in ways:
        for clips in sizes:
            runs = [fresh_process(peak_of_run, way, clips, batch_size) for _ in range(repeats)]
            middle = sorted(runs, key=lambda run: run["peak_bytes"])[(repeats - 1) // 2]
            rows.append({"way": way, "clips": clips, **middle})
            Console().print(f"{way}, {clips:,} clips: {middle['peak_bytes'] / MEGABYTE:,.1f} MB", highlight=False)
    return rows


def growth(rows: Sequence[dict[str, Any]], way: str) -> float:
    """Bytes that the largest run's peak lies above the smallest's."""
    own = sorted((row for row in rows if row["way"] == way), key=lambda row: row["clips"])
    return own[-1]["peak_bytes"] - own[0]["peak_bytes"]


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[200, 2_000, 20_000], help="numbers of clips")
    parser.add_argument("--ways", nargs="+", choices=("dissect", "store"), default=["dissect", "store"])
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--no-write", dest="write", action="store_false", help="print only")
    options = parser.parse_args()
    rows = measure(options.sizes, options.ways, options.batch_size, options.repeats)
    table = Table("way", "clips", "peak MB", "above the loaded model", "clips/s", title="peak resident memory")
    for row in rows:
        above = row["peak_bytes"] - row["before_bytes"]
        sizes = f"{row['peak_bytes'] / MEGABYTE:,.1f}", f"{above / MEGABYTE:,.1f}"
        table.add_row(row["way"], f"{row['clips']:,}", *sizes, f"{row['clips'] / row['seconds']:,.0f}")
    Console().print(table)
    grown = {way: growth(rows, way) / MEGABYTE for way in options.ways}
    for way, megabytes in grown.items():
        Console().print(f"{way} grows by {megabytes:,.1f} MB (target for dissect: within {TARGET_MB} MB)")
    if options.write:
        numbers = {"batch_size": options.batch_size, "runs": rows, "growth_mb": grown}
        path = write_report("memory", torch.device("cpu"), numbers, {"dissect: growth in MB": TARGET_MB})
        Console().print(f"wrote {path}")


if __name__ == "__main__":
    main()
