"""The model card of the embedded tiny AST."""

from __future__ import annotations

from transformers import ASTConfig

_CARD = """---
license: mit
library_name: transformers
pipeline_tag: audio-classification
---
# Tiny AST for synthetic sounds

An `ASTForAudioClassification` of {parameters:,} parameters ({layers} layers, width {width}, {neurons} MLP neurons a \
layer) that tells {classes} classes of synthetic sound apart. It is the embedded default of `and_nnsight`: small \
enough to ship, trained well enough that its neurons mean something. It knows nothing of real recordings.

- **Training data:** {training_clips} clips of 2 s at 16 kHz, {per_class} a class, from `and_nnsight.demo.make_sounds` \
with seed {seed}.
- **Training:** `python -m and_nnsight.demo.train --out DIR --seed {seed} --per-class {per_class} --epochs {epochs}`: \
AdamW, weight decay 0.05, dropout 0.05, label smoothing 0.05, random gains of 3 dB either way.
- **Held-out accuracy:** {accuracy:.2%} on {held_out_clips} clips from a seed that training never used \
({held_out_seed}), over all classes.
- **Input:** log mel energies, as `ASTFeatureExtractor` makes them with this folder's settings.
- **Classes:** {labels}.
"""


def model_card(
    config: ASTConfig,
    *,
    parameters: int,
    accuracy: float,
    held_out_clips: int,
    held_out_seed: int,
    seed: int,
    per_class: int,
    epochs: int,
) -> str:
    """The card's text: how the model was trained, and how well it does on held-out clips.

    config          the model's geometry and classes
    parameters      how many numbers were trained
    accuracy        share of the held-out clips that it classifies rightly, 0 to 1
    held_out_clips  how many clips those were
    held_out_seed   the seed they were made with
    seed            of the training clips and of the weights
    per_class       training clips a class
    epochs          passes over the training clips
    """
    labels = list((config.id2label or {}).values())
    return _CARD.format(
        parameters=parameters,
        layers=config.num_hidden_layers,
        width=config.hidden_size,
        neurons=config.intermediate_size,
        classes=len(labels),
        training_clips=per_class * len(labels),
        per_class=per_class,
        seed=seed,
        epochs=epochs,
        accuracy=accuracy,
        held_out_clips=held_out_clips,
        held_out_seed=held_out_seed,
        labels=", ".join(labels),
    )
