"""Small random dictionaries in the files of the libraries that write them, and what they encode, written as formulas."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

Naive = Callable[[np.ndarray], np.ndarray]
"""Latents of frames, float64, all at once."""


@dataclass(frozen=True)
class Written:
    """A dictionary on the disk: where it is, and what it encodes."""

    path: Path
    encode: Naive
    tensors: dict[str, np.ndarray]


def _random(seed: int, **shapes: tuple[int, ...]) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def _doubles(tensors: dict[str, Tensor]) -> dict[str, np.ndarray]:
    return {name: tensor.double().numpy() for name, tensor in tensors.items()}


def relu(values: np.ndarray) -> np.ndarray:
    return np.maximum(values, 0)


def highest(values: np.ndarray, k: int, ranked: np.ndarray | None = None) -> np.ndarray:
    """Only the k highest of each row, by another ranking if one is given; all others are 0."""
    order = np.argsort(-(values if ranked is None else ranked), axis=-1)[..., :k]
    kept = np.zeros_like(values)
    np.put_along_axis(kept, order, np.take_along_axis(values, order, -1), -1)
    return kept


SAE_LENS = ("standard", "topk", "topk rescaled", "abstopk", "jumprelu", "gated", "topk of version 3")


def sae_lens(
    folder: Path, kind: str, width: int, latents: int, *, k: int = 5, scaling: str = "none", b_dec: bool = True
) -> Written:
    """A dictionary as SAELens saves it."""
    architecture = {"topk rescaled": "topk", "topk of version 3": "standard"}.get(kind, kind)
    tensors = _random(1, W_enc=(width, latents), b_enc=(latents,), W_dec=(latents, width), b_dec=(width,))
    settings: dict[str, Any] = {"architecture": architecture, "d_in": width, "d_sae": latents, "metadata": {}}
    settings |= {"normalize_activations": scaling, "apply_b_dec_to_input": b_dec, "dtype": "float32"}
    if kind == "topk of version 3":
        settings |= {"activation_fn_str": "topk", "activation_fn_kwargs": {"k": k}}
    elif "topk" in kind:
        settings |= {"k": k, "rescale_acts_by_decoder_norm": kind == "topk rescaled"}
    if kind == "jumprelu":
        tensors["threshold"] = tensors["b_enc"].abs() * 4
    if kind == "gated":
        del tensors["b_enc"]
        tensors |= _random(2, b_gate=(latents,), b_mag=(latents,), r_mag=(latents,))
    folder.mkdir(parents=True)
    save_file(tensors, folder / "sae_weights.safetensors")
    (folder / "cfg.json").write_text(json.dumps(settings), encoding="utf-8")
    of = _doubles(tensors)

    def encode(frames: np.ndarray) -> np.ndarray:
        h = frames.astype(np.float64)
        if scaling == "layer_norm":
            h = h - h.mean(-1, keepdims=True)
            h = h / (h.std(-1, ddof=1, keepdims=True) + 1e-5)
        if scaling == "constant_norm_rescale":
            h = h * np.sqrt(width) / np.linalg.norm(h, axis=-1, keepdims=True)
        h = h - of["b_dec"] * b_dec
        if kind == "gated":
            gate = h @ of["W_enc"] + of["b_gate"] > 0
            return gate * relu(h @ (of["W_enc"] * np.exp(of["r_mag"])) + of["b_mag"])
        z = h @ of["W_enc"] + of["b_enc"]
        if kind == "standard":
            return relu(z)
        if kind == "jumprelu":
            return relu(z) * (z > of["threshold"])
        if kind == "topk rescaled":
            z = z * np.linalg.norm(of["W_dec"], axis=1)
        return highest(z, k, np.abs(z)) if kind == "abstopk" else relu(highest(z, k))

    return Written(folder, encode, of)


SPARSIFY = ("topk", "groupmax", "transcoder")


def sparsify(folder: Path, kind: str, width: int, latents: int, *, k: int = 4) -> Written:
    """A dictionary as sparsify saves it."""
    shapes = {"encoder.weight": (latents, width), "encoder.bias": (latents,), "W_dec": (latents, width)}
    tensors = _random(3, **shapes, b_dec=(width,))
    activation = "groupmax" if kind == "groupmax" else "topk"
    settings = {
        "activation": activation,
        "k": k,
        "d_in": width,
        "num_latents": latents,
        "transcode": kind == "transcoder",
    }
    folder.mkdir(parents=True)
    save_file(tensors, folder / "sae.safetensors")
    (folder / "cfg.json").write_text(json.dumps(settings), encoding="utf-8")
    of = _doubles(tensors)

    def encode(frames: np.ndarray) -> np.ndarray:
        h = frames.astype(np.float64) - of["b_dec"] * (kind != "transcoder")
        r = relu(h @ of["encoder.weight"].T + of["encoder.bias"])
        if kind != "groupmax":
            return highest(r, k)
        groups = r.reshape(*r.shape[:-1], k, latents // k)
        return highest(groups, 1).reshape(r.shape)

    return Written(folder, encode, of)


DICTIONARY_LEARNING = (
    "AutoEncoder", "AutoEncoderNew", "GatedAutoEncoder", "JumpReluAutoEncoder", "AutoEncoderTopK", "BatchTopKSAE",
    "MatryoshkaBatchTopKSAE",
)  # fmt: skip


def dictionary_learning(
    folder: Path, kind: str, width: int, latents: int, *, k: int = 3, safe: bool = False, threshold: float = 2.0
) -> Written:
    """A dictionary as dictionary_learning saves it; `safe`: its state dict as a safetensors file."""
    linear = {"encoder.weight": (latents, width), "encoder.bias": (latents,), "decoder.weight": (width, latents)}
    turned = {"W_enc": (width, latents), "b_enc": (latents,), "W_dec": (latents, width), "b_dec": (width,)}
    tensors = _random(4, **(turned if kind.startswith(("Jump", "Matry")) else linear))
    numbers: dict[str, Any] = {}
    if kind == "AutoEncoder":
        tensors |= _random(5, bias=(width,))
    elif kind == "AutoEncoderNew":
        tensors |= _random(5, **{"decoder.bias": (width,)})
    elif kind == "GatedAutoEncoder":
        del tensors["encoder.bias"]
        tensors |= _random(5, decoder_bias=(width,), r_mag=(latents,), gate_bias=(latents,), mag_bias=(latents,))
    elif kind == "JumpReluAutoEncoder":
        tensors["threshold"] = tensors["b_enc"].abs() * 4
    else:
        tensors |= _random(5, b_dec=(width,)) | {"k": torch.tensor(k), "threshold": torch.tensor(threshold)}
        numbers = {"k": k}
    if kind == "MatryoshkaBatchTopKSAE":
        tensors["group_sizes"] = torch.tensor([latents // 2, latents - latents // 2])
    folder.mkdir(parents=True)
    save_file(tensors, folder / "ae.safetensors") if safe else torch.save(tensors, folder / "ae.pt")
    settings = {"trainer": {"dict_class": kind, "activation_dim": width, "dict_size": latents, **numbers}}
    (folder / "config.json").write_text(json.dumps(settings), encoding="utf-8")
    of = _doubles(tensors)

    def encode(frames: np.ndarray) -> np.ndarray:
        x = frames.astype(np.float64)
        if kind == "AutoEncoder":  # opened with directions of length 1, and latents as much larger
            z = (x - of["bias"]) @ of["encoder.weight"].T + of["encoder.bias"]
            return relu(z) * np.linalg.norm(of["decoder.weight"], axis=0)
        if kind == "AutoEncoderNew":
            return relu(x @ of["encoder.weight"].T + of["encoder.bias"])
        if kind == "GatedAutoEncoder":
            z = (x - of["decoder_bias"]) @ of["encoder.weight"].T
            return (z + of["gate_bias"] > 0) * relu(np.exp(of["r_mag"]) * z + of["mag_bias"])
        if kind == "JumpReluAutoEncoder":
            z = x @ of["W_enc"] + of["b_enc"]
            return relu(z * (z > of["threshold"]))
        weight, bias = ("W_enc", "b_enc") if "W_enc" in of else ("encoder.weight", "encoder.bias")
        matrix = of[weight] if weight == "W_enc" else of[weight].T
        r = relu((x - of["b_dec"]) @ matrix + of[bias])
        return highest(r, k) if kind == "AutoEncoderTopK" else r * (r > threshold)

    return Written(folder, encode, of)


FREUD = ("l1", "topk")


def freud(path: Path, kind: str, width: int, latents: int, *, k: int = 4) -> Written:
    """A checkpoint of FREUD's training, with what else it holds."""
    shapes = {
        "encoder.weight": (latents, width),
        "encoder.bias": (latents,),
        "W_dec": (latents, width),
        "b_dec": (width,),
    }
    l1 = {"decoder.weight": (width, latents), "encoder_bias": (latents,)}
    tensors = _random(6, **(l1 if kind == "l1" else shapes))
    settings = {"autoencoder_variant": kind, "autoencoder_config": {"k": k}, "activation_size": width}
    optimizer = {"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [{"lr": 1e-3}]}
    path.parent.mkdir(parents=True)
    torch.save({"model": tensors, "hparams": settings, "optimizer": optimizer, "step": 3, "best_val_loss": 0.5}, path)
    of = _doubles(tensors)

    def encode(frames: np.ndarray) -> np.ndarray:
        x = frames.astype(np.float64)
        if kind == "l1":
            columns = of["decoder.weight"] / np.linalg.norm(of["decoder.weight"], axis=0)
            return relu(x @ columns + of["encoder_bias"])
        return highest(relu((x - of["b_dec"]) @ of["encoder.weight"].T + of["encoder.bias"]), k)

    return Written(path, encode, of)
