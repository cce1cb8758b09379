"""Ways to each unit's K highest clips, each run in a process of its own: `python -m benchmarks._peer_ways WAY …`.

What a way does not need it does not import, so that starting is in its numbers as whoever writes it would have it. The
model is Whisper's encoder, the units are the neurons of its blocks (what goes into `fc2`), batches are of one size.
Every way but ours takes the largest value over all 1,500 frames of the window, as its own examples do.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from time import perf_counter
from typing import Any

KEPT = ("values", "clips")


@dataclass(frozen=True)
class Task:
    """A folder with a checkpoint, one with wav files, one for what a way leaves, clips a batch, clips kept a unit."""

    model: str
    sounds: str
    out: str
    batch_size: int
    k: int

    @property
    def files(self) -> list[Path]:
        """The sounds in their order."""
        return sorted(Path(self.sounds).glob("*.wav"))


def ours(task: Task) -> None:
    """`dissect`: top, bottom, frames and moments, resumable."""
    from and_nnsight import dissect

    dissect(task.model, task.sounds, "default", task.k, batch_size=task.batch_size, out=task.out, progress=False)


def hooks(task: Task) -> None:
    """Forward hooks, and a running `topk` of values and clips."""
    import torch
    from safetensors.torch import save_file

    encoder, batches = _encoder(task)
    best: dict[str, Any] = {}
    clips = torch.empty(0, dtype=torch.int64)

    def take(name: str, module: Any, inputs: Any, output: Any) -> None:
        values = output.amax(1)
        ids = clips[:, None].expand_as(values)
        if name in best:
            values, ids = torch.cat([best[name][0], values]), torch.cat([best[name][1], ids])
        kept, rows = values.topk(min(task.k, len(values)), 0)
        best[name] = kept, ids.gather(0, rows)

    with torch.inference_mode(), ExitStack() as stack:
        for name, layer in _layers(encoder):
            stack.callback(layer.register_forward_hook(partial(take, name)).remove)
        for first, features in batches:
            clips = torch.arange(first, first + len(features))
            encoder(features)
    pairs = {f"{name}.{what}": each for name, kept in best.items() for what, each in zip(KEPT, kept, strict=True)}
    save_file({name: each.contiguous() for name, each in pairs.items()}, Path(task.out) / "best.safetensors")


def store(task: Task) -> None:
    """Keep every clip's value of every unit, write them, sort at the end."""
    import torch
    from safetensors.torch import save_file

    encoder, batches = _encoder(task)
    kept: dict[str, list[Any]] = {name: [] for name, _ in _layers(encoder)}
    with torch.inference_mode(), ExitStack() as stack:
        for name, layer in _layers(encoder):
            keep = partial(_keep, kept[name])
            stack.callback(layer.register_forward_hook(keep).remove)
        for _, features in batches:
            encoder(features)
    values = {name: torch.cat(parts) for name, parts in kept.items()}
    clips = {f"{name}.clips": each.topk(task.k, 0).indices for name, each in values.items()}
    save_file(
        {**{f"{name}.values": each for name, each in values.items()}, **clips}, Path(task.out) / "all.safetensors"
    )


def _keep(parts: list[Any], module: Any, inputs: Any, output: Any) -> None:
    parts.append(output.amax(1))


def semanticlens(task: Task) -> None:
    """SemanticLens: `ActMaxCache` with its own maximum over a transformer's tokens."""
    import torch

    caching = _peer("semanticlens.component_visualization.activation_caching")
    aggregators = _peer("semanticlens.component_visualization.aggregators")
    encoder, batches = _encoder(task)
    names = [name for name, _ in _layers(encoder)]
    cache = caching.ActMaxCache(names, aggregators.aggregate_transformer_max, task.k)
    with torch.inference_mode(), cache.hook_context(encoder):
        for _, features in batches:
            encoder(features)
    cache.store(task.out)


def crp(task: Task) -> None:
    """zennit-crp: `FeatureVisualization.run`, activations and relevances, frames as the places of a channel."""
    import torch

    attribution, visualization = _peer("crp.attribution"), _peer("crp.visualization")

    class Frames(_peer("crp.concepts").ChannelConcept):
        """Its channels are units, which it looks for on the second axis."""

        def reference_sampling(self, relevance: Any, *arguments: Any, **options: Any) -> Any:
            return super().reference_sampling(relevance.movedim(-1, 1).contiguous(), *arguments, **options)

    class Mean(torch.nn.Module):
        """The encoder with an output for a target to be chosen of."""

        def __init__(self, encoder: Any) -> None:
            super().__init__()
            self.encoder = encoder

        def forward(self, features: Any) -> Any:
            return self.encoder(features).last_hidden_state.mean(1)

    class Clips(torch.utils.data.Dataset[Any]):
        def __len__(self) -> int:
            return len(task.files)

        def __getitem__(self, index: int) -> tuple[Any, int]:
            return _features(extractor, task.files[index : index + 1])[0], 0

    encoder, extractor = _whisper(task)
    layers = {f"encoder.{name}": Frames() for name, _ in _layers(encoder)}
    model = attribution.CondAttribution(Mean(encoder))
    options = {"max_target": "max", "abs_norm": False, "path": task.out}
    look = visualization.FeatureVisualization(model, Clips(), layers, **options)
    _shorten(look.RelMax, task)
    _shorten(look.ActMax, task)
    look.run(None, 0, len(task.files), task.batch_size)


def crp_forward(task: Task) -> None:
    """zennit-crp's `Maximization` of activations alone, fed by forward hooks: no backward pass, no table by class."""
    import numpy as np
    import torch

    encoder, batches = _encoder(task)
    look = _peer("crp.maximization").Maximization("activation", "max", path=task.out)
    _shorten(look, task)
    concept, clips = _peer("crp.concepts").ChannelConcept(), np.empty(0, dtype=np.int64)

    def take(name: str, module: Any, inputs: Any, output: Any) -> None:
        look.analyze_layer(output.movedim(-1, 1).contiguous(), concept, name, clips, np.zeros(len(clips)))

    with torch.inference_mode(), ExitStack() as stack:
        for name, layer in _layers(encoder):
            stack.callback(layer.register_forward_hook(partial(take, f"encoder.{name}")).remove)
        for first, features in batches:
            clips = np.arange(first, first + len(features))
            encoder(features)
    look._save_results()


def _peer(module: str) -> Any:
    """A peer's module: it is installed where it is compared with, and not where the types are checked."""
    return import_module(module)


def _shorten(look: Any, task: Task) -> None:
    """As many clips as the others keep, not its own 40."""
    look.SAMPLE_SIZE = task.k


def oracle(task: Task) -> None:
    """Every clip's largest value of every unit: over the frames of its own sound, and over the whole window."""
    import soundfile
    import torch
    from safetensors.torch import save_file

    from and_nnsight import AudioModel
    from and_nnsight.sites.site import frame_mask

    sites = AudioModel(task.model).sites("default")
    seconds = [soundfile.info(path).duration for path in task.files]
    encoder, batches = _encoder(task)
    names = [name for name, _ in _layers(encoder)]
    kept: dict[str, list[Any]] = {f"{name}.{kind}": [] for name in names for kind in ("sound", "window")}
    mask = torch.empty(0)

    def take(name: str, module: Any, inputs: Any, output: Any) -> None:
        kept[f"{name}.window"].append(output.amax(1))
        kept[f"{name}.sound"].append(output.masked_fill(~mask[:, :, None], -torch.inf).amax(1))

    with torch.inference_mode(), ExitStack() as stack:
        for name, layer in _layers(encoder):
            stack.callback(layer.register_forward_hook(partial(take, name)).remove)
        for first, features in batches:
            mask = frame_mask(sites[0], seconds[first : first + len(features)], features.shape[-1] // 2)
            encoder(features)
    save_file({name: torch.cat(parts) for name, parts in kept.items()}, Path(task.out) / "oracle.safetensors")


def _whisper(task: Task) -> tuple[Any, Any]:
    from transformers import WhisperFeatureExtractor, WhisperForConditionalGeneration

    model: Any = WhisperForConditionalGeneration.from_pretrained(task.model)
    return model.eval().get_encoder(), WhisperFeatureExtractor.from_pretrained(task.model)


def _encoder(task: Task) -> tuple[Any, Iterator[tuple[int, Any]]]:
    """The encoder, and each batch's first clip and features."""
    encoder, extractor = _whisper(task)
    files, size = task.files, task.batch_size
    return encoder, ((first, _features(extractor, files[first : first + size])) for first in range(0, len(files), size))


def _features(extractor: Any, files: list[Path]) -> Any:
    import soundfile

    sounds = [soundfile.read(path, dtype="float32")[0] for path in files]
    return extractor(sounds, sampling_rate=extractor.sampling_rate, return_tensors="pt")["input_features"]


def _layers(encoder: Any) -> list[tuple[str, Any]]:
    """What makes the neurons of each block, by its name in the encoder."""
    return [(f"layers.{number}.activation_fn", layer.activation_fn) for number, layer in enumerate(encoder.layers)]


WAYS: dict[str, Callable[[Task], None]] = {
    "ours": ours, "hooks": hooks, "store": store, "semanticlens": semanticlens, "crp": crp,
    "crp_forward": crp_forward, "oracle": oracle,
}  # fmt: skip


def main() -> None:
    """Run a way; prints seconds in it by the clock, and the most memory that this process had, in bytes."""
    way, model, sounds, out, batch_size, k = sys.argv[1:]
    began = perf_counter()
    WAYS[way](Task(model, sounds, out, int(batch_size), int(k)))
    print(f"\n{perf_counter() - began} {_peak()}")


def _peak() -> int:
    """The most resident memory so far. Not `getrusage`'s, which a process takes over from the one that started it."""
    status = Path("/proc/self/status")
    if status.exists():
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM")) * 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    main()
