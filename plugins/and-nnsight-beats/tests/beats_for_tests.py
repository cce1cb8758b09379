"""Small random BEATs checkpoints in the published format, and sounds."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from and_nnsight_beats import BEATs, BEATsConfig

RATE = 16_000
TINY = {
    "encoder_layers": 3,
    "embed_dim": 16,
    "encoder_embed_dim": 32,
    "encoder_ffn_embed_dim": 64,
    "encoder_attention_heads": 4,
    "conv_pos": 8,
    "conv_pos_groups": 4,
    "num_buckets": 32,
    # As in the published files:
    "input_patch_size": 16,
    "conv_bias": False,
    "activation_fn": "gelu",
    "deep_norm": True,
    "layer_norm_first": False,
    "relative_position_embedding": True,
    "gru_rel_pos": True,
    "max_distance": 800,
    "dropout": 0.0,
    "dropout_input": 0.0,
    "attention_dropout": 0.0,
    "activation_dropout": 0.0,
    "encoder_layerdrop": 0.05,
    "layer_wise_gradient_decay_ratio": 0.6,
    "finetuned_model": False,
    "predictor_dropout": 0.0,
    "predictor_class": 527,
}


def published_weights(cfg: dict[str, Any], seed: int = 0) -> dict[str, Tensor]:
    """Random weights under the names of the published files: the old weight norm, a bias table in every block."""
    torch.manual_seed(seed)
    weights = {}
    for name, tensor in BEATs(BEATsConfig(cfg)).state_dict().items():
        name = name.replace("parametrizations.weight.original0", "weight_g")
        name = name.replace("parametrizations.weight.original1", "weight_v")
        # Fresh biases and norms are zeros and ones, under which several mistakes cannot be told apart.
        weights[name] = tensor + 0.1 * torch.randn(tensor.shape) if tensor.ndim == 1 else tensor.clone()
    table = "encoder.layers.{}.self_attn.relative_attention_bias.weight"
    if cfg.get("relative_position_embedding"):
        weights |= {table.format(i): weights[table.format(0)] for i in range(cfg["encoder_layers"])}
    return weights


def write_checkpoint(path: Path, classes: int | None = None, **changes: Any) -> Path:
    """A random checkpoint, with a head and a label_dict if classes are asked for."""
    cfg = {**TINY, **changes}
    if classes is not None:
        cfg |= {"finetuned_model": True, "predictor_class": classes}
    content: dict[str, Any] = {"cfg": cfg, "model": published_weights(cfg)}
    if classes is not None:
        content["label_dict"] = {index: f"/m/0{index}" for index in range(classes)}
    torch.save(content, path)
    return path


def library(path: Path) -> Any:
    """SpeechBrain's own model in a checkpoint."""
    import_module("and_nnsight_beats._speechbrain")  # first, so that torch's settings stay as they are
    return import_module("speechbrain.lobes.models.beats").BEATs(str(path))


def noise(seconds: float, seed: int = 0, level: float = 0.1) -> np.ndarray:
    """White noise at 16 kHz."""
    return (level * np.random.default_rng(seed).standard_normal(round(seconds * RATE))).astype(np.float32)


def click(seconds: float, at: float) -> np.ndarray:
    """Faint noise with one loud click of 2 ms at a known time."""
    wave = noise(seconds, level=0.001)
    wave[round(at * RATE) : round(at * RATE) + RATE // 500] = 0.9
    return wave
