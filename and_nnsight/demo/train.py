"""Train the embedded tiny AST on the synthetic sounds: `python -m and_nnsight.demo.train --out DIR`.

Training clips are made from one seed, held-out clips from another; the accuracy that is printed and written into the
model card is on held-out clips of every class. It takes some minutes on two CPU cores.
"""

from __future__ import annotations

import argparse
import itertools
import math
import time
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional
from transformers import ASTConfig, ASTFeatureExtractor, ASTForAudioClassification

from .model_card import model_card
from .sounds import CLASSES, SAMPLING_RATE, Sound, make_sounds

HELD_OUT_SEED_OFFSET = 1_000_000
"""Held-out clips are made with the training seed plus this."""

_MAX_LENGTH = 208  # frames of 10 ms: a clip of 2 s has 198
_MEL_BINS = 64
_GAIN_DB = 3.0


def tiny_config() -> ASTConfig:
    """The embedded model's geometry: 4 layers of width 64 with 256 MLP neurons each, patches that overlap."""
    return ASTConfig(
        hidden_size=64,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=256,
        hidden_dropout_prob=0.05,
        attention_probs_dropout_prob=0.0,
        patch_size=16,
        frequency_stride=10,
        time_stride=10,
        max_length=_MAX_LENGTH,
        num_mel_bins=_MEL_BINS,
        id2label=dict(enumerate(CLASSES)),
        label2id={label: number for number, label in enumerate(CLASSES)},
    )


def fresh_model(config: ASTConfig) -> ASTForAudioClassification:
    """A model with random weights from torch's global generator."""
    model = ASTForAudioClassification(config)
    embeddings = model.audio_spectrogram_transformer.embeddings
    # All three start as zeros, and then the two special tokens would stay equal for ever.
    for parameter in (embeddings.cls_token, embeddings.distillation_token, embeddings.position_embeddings):
        torch.nn.init.trunc_normal_(parameter, std=0.02)
    return model


def features_of(sounds: Iterable[Sound], extractor: ASTFeatureExtractor) -> tuple[Tensor, Tensor]:
    """Features (float32 [clip, frame, mel]) and class numbers (int64 [clip]) of sounds."""
    features, labels = [], []
    sounds = iter(sounds)
    while batch := list(itertools.islice(sounds, 64)):
        waveforms = [sound.waveform for sound in batch]
        features.append(extractor(waveforms, sampling_rate=SAMPLING_RATE, return_tensors="pt")["input_values"])
        labels.extend(CLASSES.index(sound.label) for sound in batch)
    return torch.cat(features), torch.tensor(labels)


def normalizing_extractor(seed: int, per_class: int) -> ASTFeatureExtractor:
    """An extractor whose mean and standard deviation are those of training clips, padding left out."""
    raw = ASTFeatureExtractor(num_mel_bins=_MEL_BINS, max_length=_MAX_LENGTH, do_normalize=False)
    features, _ = features_of(make_sounds(per_class, seed), raw)
    sounding = features[features.abs().sum(-1) > 0]
    return ASTFeatureExtractor(
        num_mel_bins=_MEL_BINS, max_length=_MAX_LENGTH, mean=float(sounding.mean()), std=float(sounding.std())
    )


def learning_rate(step: int, steps: int, peak: float) -> float:
    """Half a cosine down from the peak, after a linear warm-up over a twentieth of the steps."""
    warm_up = max(1, steps // 20)
    if step < warm_up:
        return peak * (step + 1) / warm_up
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up)))


def fit(model: ASTForAudioClassification, features: Tensor, labels: Tensor, gain_scale: float, epochs: int) -> None:
    """Train in place: AdamW with weight decay, label smoothing, and random gains of a few dB.

    features    normalised, float32 [clip, frame, mel]
    labels      class numbers, int64 [clip]
    gain_scale  what one dB of gain adds to a normalised feature (features are log energies)
    epochs      passes over the clips
    """
    batch_size = 32
    weights = [parameter for parameter in model.parameters() if parameter.ndim in (2, 4)]
    others = [parameter for parameter in model.parameters() if parameter.ndim not in (2, 4)]
    optimizer = torch.optim.AdamW([{"params": weights, "weight_decay": 0.05}, {"params": others, "weight_decay": 0.0}])
    steps, step = epochs * math.ceil(len(features) / batch_size), 0
    model.train()
    for epoch in range(epochs):
        started, total = time.perf_counter(), 0.0
        for batch in torch.randperm(len(features)).split(batch_size):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(step, steps, peak=1.5e-3)
            gains = (torch.rand(len(batch), 1, 1) * 2 - 1) * _GAIN_DB * gain_scale
            logits = model(features[batch] + gains).logits
            loss = functional.cross_entropy(logits, labels[batch], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            total, step = total + loss.item() * len(batch), step + 1
        seconds = time.perf_counter() - started
        print(f"epoch {epoch + 1}/{epochs}: loss {total / len(features):.4f}, {seconds:.1f} s", flush=True)
    model.eval()


@torch.no_grad()
def correct(model: ASTForAudioClassification, features: Tensor, labels: Tensor) -> Tensor:
    """Whether each clip's likeliest class is its own: bool [clip]."""
    guesses = torch.cat([model(batch).logits.argmax(-1) for batch in features.split(64)])
    return guesses == labels


def train(out: Path, seed: int, per_class: int, epochs: int, held_out_per_class: int = 40) -> float:
    """Train, save into a folder with a model card, and return the held-out accuracy of what was saved."""
    started = time.perf_counter()
    torch.manual_seed(seed)
    extractor = normalizing_extractor(seed, min(per_class, 16))
    features, labels = features_of(make_sounds(per_class, seed), extractor)
    print(f"{len(features)} training clips in {time.perf_counter() - started:.0f} s", flush=True)
    model = fresh_model(tiny_config())
    fit(model, features, labels, math.log(10) / 10 / (2 * extractor.std), epochs)
    seconds = time.perf_counter() - started

    model.save_pretrained(out)
    extractor.save_pretrained(out)
    saved = ASTForAudioClassification.from_pretrained(out).eval()
    saved_extractor = ASTFeatureExtractor.from_pretrained(out)
    held_out, truth = features_of(make_sounds(held_out_per_class, seed + HELD_OUT_SEED_OFFSET), saved_extractor)
    hits = correct(saved, held_out, truth)
    accuracy = float(hits.float().mean())
    for number, label in enumerate(CLASSES):
        print(f"{label:20s} {float(hits[truth == number].float().mean()):.3f}")
    print(f"held-out accuracy {accuracy:.4f} on {len(hits)} clips; {seconds:.0f} s of training", flush=True)
    card = model_card(
        model.config,
        parameters=model.num_parameters(),
        accuracy=accuracy,
        held_out_clips=len(hits),
        held_out_seed=seed + HELD_OUT_SEED_OFFSET,
        seed=seed,
        per_class=per_class,
        epochs=epochs,
    )
    (out / "README.md").write_text(card, encoding="utf-8")
    return accuracy


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(prog="python -m and_nnsight.demo.train", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder to save the model in")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--per-class", type=int, default=200, help="training clips a class")
    parser.add_argument("--epochs", type=int, default=20)
    options = parser.parse_args()
    train(options.out, options.seed, options.per_class, options.epochs)


if __name__ == "__main__":
    main()
