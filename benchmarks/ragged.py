"""Clips of many lengths through a model without a window: what it costs that few of them run together.

HuBERT-base's geometry (random weights) on lengths as LibriSpeech's are: most between 11.5 and 16.5 s, in steps of 5 ms;
`--shorter` divides them. In one run, so that the numbers stand side by side:

bare           each clip's forward alone, nothing kept
each group     statistics updated for each group of clips that run together (as until 0.1)
each batch     updated once a batch of the stream
look ahead     clips of one length looked for ahead in the stream (what a run on a GPU does)

    python -m benchmarks.ragged --clips 16 --shorter 4
    python -m benchmarks.ragged --device cuda --clips 1024 --dtype bfloat16
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from and_nnsight import AudioModel, dissect
from and_nnsight.run import look_ahead
from and_nnsight.run.collector import BatchCollector

RATE = 16_000


def lengths(count: int, shorter: float) -> list[int]:
    """In samples: three quarters between 11.5 and 16.5 s, the others from 1.4 s on, in steps of 5 ms."""
    random = np.random.default_rng(0)
    long, short = 11.5 + 5 * random.beta(3, 2, count), 1.4 + 13 * random.random(count)
    seconds = np.where(random.random(count) < 0.75, long, short) / shorter
    return [int(200 * one) * RATE // 200 for one in seconds]


def noises(count: int, shorter: float) -> list[dict[str, Any]]:
    """16-bit noise of these lengths."""
    random = np.random.default_rng(1)
    return [
        {"audio": (3_000 * random.standard_normal(n)).astype(np.int16), "sampling_rate": RATE}
        for n in lengths(count, shorter)
    ]


def hubert(device: str, dtype: str) -> AudioModel:
    """HuBERT-base with random weights."""
    torch.manual_seed(0)
    module: Any = transformers.HubertModel(transformers.HubertConfig())
    module = module.to(device=device, dtype=getattr(torch, dtype)).eval()
    return AudioModel(module, feature_extractor=transformers.Wav2Vec2FeatureExtractor())


@contextmanager
def updated_each_group() -> Iterator[None]:
    """Statistics as they were updated before."""
    end_group = BatchCollector.end_group

    def at_once(self: BatchCollector) -> None:
        end_group(self)
        self.end_batch()

    BatchCollector.end_group = at_once
    try:
        yield
    finally:
        BatchCollector.end_group = end_group


@contextmanager
def looking_ahead(device: str, clips: int | None) -> Iterator[None]:
    """Stretches of so many clips; None: batches as they come."""
    there = look_ahead.CLIPS
    look_ahead.CLIPS = {} if clips is None else {device: clips}
    try:
        yield
    finally:
        look_ahead.CLIPS = there


def timed(work: Callable[[], Any], clips: int) -> dict[str, float]:
    """Clips a second, and CPU seconds."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {"clips_a_second": clips / wall, "clips_a_cpu_second": clips / cpu, "seconds": wall}


def forwards(model: AudioModel, clips: list[dict[str, Any]]) -> None:
    """Each clip alone through the module."""
    for clip in clips:
        features = model.model_inputs(model.features(clip["audio"], RATE))
        with torch.no_grad():
            model.wrapped(**{name: value.to(model.device) for name, value in features.items()})


def main() -> None:
    """Measure, and print a JSON object a line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--clips", type=int, default=16)
    parser.add_argument("--shorter", type=float, default=1.0)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--ahead", type=int, default=256)
    parser.add_argument("--threads", type=int, default=1)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    model, clips = hubert(chosen.device, chosen.dtype), noises(chosen.clips, chosen.shorter)
    ran: list[int] = []
    run = AudioModel.run

    def counted(self: AudioModel, sites: Any, features: dict[str, torch.Tensor], on_activation: Any) -> None:
        ran.append(len(next(iter(features.values()))))
        run(self, sites, features, on_activation)

    AudioModel.run = counted
    results: dict[str, Any] = {}

    def say(name: str, work: Callable[[], Any]) -> None:
        ran.clear()
        spent = {key: round(value, 3) for key, value in timed(work, len(clips)).items()}
        print(json.dumps({"what": name, **spent, "forwards": len(ran) or len(clips)}), flush=True)

    with tempfile.TemporaryDirectory() as folder:

        def kept(name: str) -> None:
            out = Path(folder) / name
            options = {"batch_size": chosen.batch_size, "progress": False}
            results[name] = dissect(model, clips, out=out, **options)

        kept("warm")
        say("bare", lambda: forwards(model, clips))
        with looking_ahead(chosen.device, None):
            with updated_each_group():
                say("each group", lambda: kept("each group"))
            say("each batch", lambda: kept("each batch"))
        with looking_ahead(chosen.device, chosen.ahead):
            say("look ahead", lambda: kept("look ahead"))
        say("bare again", lambda: forwards(model, clips))
        for name in ("each batch", "look ahead"):
            before, now = results["each group"], results[name]
            sides = [(before[site].top, now[site].top) for site in before.sites]
            equal = all(torch.equal(one.values, other.values) for one, other in sides)
            same = all(torch.equal(one.clips, other.clips) for one, other in sides)
            print(
                json.dumps({"what": f"{name} against each group", "ids_equal": same, "values_equal_to_the_bit": equal})
            )


if __name__ == "__main__":
    main()
