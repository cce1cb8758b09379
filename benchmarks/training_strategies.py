"""Do supervised and self-supervised training leave other neurons? The paper's finding (ii), on models of our own.

The paper: supervised training narrows what neurons attend to with depth, self-supervised training keeps them
polysemantic. Here one architecture, one set of generated sounds and one number of steps, trained to name the class, or
to restore masked stretches of the spectrogram; each from two seeds, since two runs of one training differ as well.

    python -m benchmarks.training_strategies [--per-class N --epochs N --layers N]

By layer: the share of units whose exemplars share a label beyond chance (q ≤ 0.05), and of how many classes a unit's
exemplars are, with a line over the layers (p by permutation of whole layers). And `compare` of every two models: how
many units answer to the same, between seeds and between strategies.
"""

from __future__ import annotations

import argparse
import itertools
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from transformers import ASTFeatureExtractor, ASTForAudioClassification

from and_nnsight import AudioModel, Comparison, Dissection, compare, dissect
from and_nnsight.comparison.rows import FIRST, SECOND
from and_nnsight.demo import make_sounds
from and_nnsight.demo.train import (
    HELD_OUT_SEED_OFFSET,
    correct,
    features_of,
    fit,
    fresh_model,
    learning_rate,
    normalizing_extractor,
    tiny_config,
)
from and_nnsight.findings.statistics import line_through, mean_of
from benchmarks._report import write_report

SITES = "blocks.*.mlp.hook_post"
SUPERVISED, SELF_SUPERVISED = "supervised", "self-supervised"
_K = 8
_MASKED = 0.5
_STRETCH = 16  # frames that are masked together: as long as a patch

Row = dict[str, Any]
Features = tuple[Tensor, Tensor]


def untrained(layers: int, seed: int) -> ASTForAudioClassification:
    """The architecture of all models, with random weights."""
    torch.manual_seed(seed)
    config = tiny_config()
    config.num_hidden_layers = layers
    return fresh_model(config)


def masked(features: Tensor) -> tuple[Tensor, Tensor]:
    """Features with half of their stretches at the mean, and which frames those are."""
    clips, frames, _ = features.shape
    stretches = torch.rand(clips, -(-frames // _STRETCH)) < _MASKED
    mask = stretches.repeat_interleave(_STRETCH, 1)[:, :frames]
    return features.masked_fill(mask[:, :, None], 0.0), mask


def restore(model: ASTForAudioClassification, features: Tensor, epochs: int) -> float:
    """Train in place to restore masked stretches, each patch by a linear map of its own token; the last mean error."""
    config: Any = model.config
    batch_size = 32
    size, stride = int(config.patch_size), int(config.time_stride)
    head = torch.nn.Linear(int(config.hidden_size), size * size)
    optimizer = torch.optim.AdamW([*model.parameters(), *head.parameters()], weight_decay=0.05)
    steps, step, error = epochs * math.ceil(len(features) / batch_size), 0, math.nan
    model.train()
    for _ in range(epochs):
        errors = []
        for batch in torch.randperm(len(features)).split(batch_size):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(step, steps, peak=1.5e-3)
            hidden, mask = masked(features[batch])
            tokens = model.audio_spectrogram_transformer(hidden).last_hidden_state[:, 2:]
            patches = (
                features[batch].transpose(1, 2).unfold(1, size, int(config.frequency_stride)).unfold(2, size, stride)
            )
            covered = mask.unfold(1, size, stride).float().mean(2)  # [clip, time]: patches lie frequency by frequency
            weights = covered[:, None].expand(-1, patches.shape[1], -1).flatten(1)
            loss = ((head(tokens) - patches.flatten(1, 2).flatten(2)) ** 2).mean(2)
            loss = (loss * weights).sum() / weights.sum().clamp(min=1.0)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_([*model.parameters(), *head.parameters()], 1.0)
            optimizer.step()
            errors.append(loss.item())
            step += 1
        error = float(np.mean(errors))
        print(f"restoring: mean squared error {error:.4f}", flush=True)
    model.eval()
    return error


def supervise(model: ASTForAudioClassification, data: Features, scale: float, epochs: int) -> None:
    """Train in place to name the class."""
    fit(model, *data, scale, epochs)


def labels_a_unit(dissection: Dissection, site: str) -> list[int]:
    """Of how many classes the exemplars that are evidence are, of each unit with at least half of K."""
    evidence = dissection.evidence_arrays(site, "top")
    counts = []
    for unit in range(evidence.ranked.clips.shape[1]):
        clips = evidence.ranked.clips[evidence.telling[:, unit], unit].tolist()
        if len(clips) >= _K // 2:
            counts.append(len({dissection.clips[clip].label for clip in clips}))
    return counts


def by_layer(dissection: Dissection, comparison: Comparison) -> tuple[list[Row], Row | None]:
    """A row a layer, and the line of the number of classes a unit over the layers. The first of the comparison."""
    rows: list[Row] = []
    layers, values = [], []
    for row in comparison.sites:
        if row.side != FIRST or row.layer is None:
            continue
        counts = labels_a_unit(dissection, row.site)
        mean = mean_of(np.array(counts, np.int64))
        rows.append({
            "layer": row.layer, "units": row.units, "answer_to_a_label": (row.answer or 0) / row.units,
            "labels": row.labels, "classes_a_unit": mean.mean, "low": mean.low, "high": mean.high,
            "units_with_evidence": len(counts),
        })  # fmt: skip
        layers += [row.layer] * len(counts)
        values += counts
    line = line_through(np.array(layers, np.int64), np.array(values, np.int64))
    if line is None:
        return rows, None
    return rows, {"slope": line.slope, "p_layers": line.p_layers, "least_p_layers": line.least_p_layers}


def shares(comparison: Comparison) -> Row:
    """How the units of both sides stand, as shares of those that were tested."""
    rows = [row for row in comparison.table if row.standing != "untested"]
    standings = {name: sum(row.standing == name for row in rows) / len(rows) for name in ("matched", "shared", "alone")}
    return standings | {
        "correlation": float(np.mean([row.correlation or 0.0 for row in rows])),
        "lost": [row.concept for row in comparison.changed_concepts("lost")],
        "gained": [row.concept for row in comparison.changed_concepts("gained")],
    }


def measured(
    models: dict[tuple[str, int], ASTForAudioClassification],
    extractor: ASTFeatureExtractor,
    clips: Sequence[Any],
    out: Path,
) -> tuple[list[Row], list[Row]]:
    """The models one by one, and two by two."""
    dissections = {
        (strategy, seed): dissect(
            AudioModel(model, feature_extractor=extractor), clips, SITES, k=_K, out=out / f"{strategy} {seed}",
            keep_activations=True, progress=False,
        )
        for (strategy, seed), model in models.items()
    }  # fmt: skip
    singly, pairs = [], []
    for one, other in itertools.combinations(dissections, 2):
        comparison = compare(dissections[one], dissections[other])
        pairs.append({FIRST: " ".join(map(str, one)), SECOND: " ".join(map(str, other)), **shares(comparison)})
        print(pairs[-1], flush=True)
    for (strategy, seed), dissection in dissections.items():
        layers, line = by_layer(dissection, compare(dissection, dissection))
        singly.append({"strategy": strategy, "seed": seed, "layers": layers, "line": line})
    return singly, pairs


def run(per_class: int, epochs: int, layers: int, seeds: int, out: Path, fresh: int = 12) -> Row:
    """Train, dissect over fresh sounds, so many a class, compare."""
    extractor = normalizing_extractor(0, min(per_class, 8))
    data = features_of(make_sounds(per_class, 0), extractor)
    held_out = features_of(make_sounds(min(fresh, 8), HELD_OUT_SEED_OFFSET), extractor)
    scale = math.log(10) / 10 / (2 * extractor.std)
    trainings: dict[str, Callable[[ASTForAudioClassification], Any]] = {
        SUPERVISED: lambda model: supervise(model, data, scale, epochs),
        SELF_SUPERVISED: lambda model: restore(model, data[0], epochs),
    }
    models, outcomes = {}, []
    for seed in range(seeds):
        for strategy, train in trainings.items():
            models[strategy, seed] = model = untrained(layers, len(models))  # none begins where another does
            error = train(model)
            accuracy = float(correct(model, *held_out).float().mean()) if strategy == SUPERVISED else None
            outcomes.append({"strategy": strategy, "seed": seed, "held_out_accuracy": accuracy, "last_error": error})
    clips = [
        {"array": sound.waveform, "sampling_rate": sound.sampling_rate, "label": sound.label}
        for sound in make_sounds(fresh, 2 * HELD_OUT_SEED_OFFSET)
    ]
    singly, pairs = measured(models, extractor, clips, out)
    return {"clips": len(clips), "trainings": outcomes, "models": singly, "pairs": pairs}


def show(result: Row) -> None:
    """Both tables on the terminal."""
    console = Console()
    table = Table("model", "layer", "answer to a label", "labels", "classes a unit")
    for model in result["models"]:
        for row in model["layers"]:
            table.add_row(
                f"{model['strategy']} {model['seed']}", str(row["layer"]), f"{row['answer_to_a_label']:.0%}",
                str(row["labels"]), "" if row["classes_a_unit"] is None else f"{row['classes_a_unit']:.2f}",
            )  # fmt: skip
    console.print(table)
    for model in result["models"]:
        console.print(f"{model['strategy']} {model['seed']}: {model['line']}")
    pairs = Table(FIRST, SECOND, "matched", "shared", "alone", "r")
    for row in result["pairs"]:
        numbers = (f"{row[name]:.0%}" for name in ("matched", "shared", "alone"))
        pairs.add_row(row[FIRST], row[SECOND], *numbers, f"{row['correlation']:.2f}")
    console.print(pairs)


def main() -> None:
    """Read the command line, run, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--per-class", type=int, default=40, help="training clips a class")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--seeds", type=int, default=2, help="models a strategy")
    parser.add_argument("--no-write", action="store_true", help="print only")
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        result = run(options.per_class, options.epochs, options.layers, options.seeds, Path(folder))
    show(result)
    if not options.no_write:
        settings = {name: value for name, value in vars(options).items() if name != "no_write"}
        print(write_report("training_strategies", torch.device("cpu"), {"settings": settings, **result}, {}))


if __name__ == "__main__":
    main()
