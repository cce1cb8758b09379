"""dictionary_learning: `config.json` beside `ae.pt`, a state dict (or the same in `ae.safetensors`)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..autoencoder import SparseAutoencoder
from ..errors import DictionaryError
from ..rules import Gated, Jump, Rectified, Rule, TopLatents
from ..weights import Weights, content_hash, read_settings, read_weights
from .settings import positive, row_norms, unknown

LIBRARY = "dictionary_learning"
SETTINGS, WEIGHTS = "config.json", ("ae.safetensors", "ae.pt")
FILES = (SETTINGS, *WEIGHTS)
_INPUT_BIASES = {
    "AutoEncoder": "bias",
    "AutoEncoderNew": None,
    "GatedAutoEncoder": "decoder_bias",
    "JumpReluAutoEncoder": None,
    "AutoEncoderTopK": "b_dec",
    "BatchTopKSAE": "b_dec",
    "MatryoshkaBatchTopKSAE": "b_dec",
}
"""The classes of dictionaries, and the tensor that each subtracts from a frame."""
_TRANSPOSED = ("JumpReluAutoEncoder", "MatryoshkaBatchTopKSAE")


def is_here(folder: Path) -> bool:
    """Whether a folder holds such files."""
    return any((folder / name).is_file() for name in WEIGHTS)


def read(folder: Path) -> SparseAutoencoder:
    """The dictionary in a folder. Raises DictionaryError for one that is not whole, or of another class."""
    path = folder / SETTINGS
    trainer = read_settings(path).get("trainer")
    if not isinstance(trainer, Mapping):
        raise DictionaryError(f"{path} has no entry 'trainer', which says what kind of dictionary this is")
    kind = trainer.get("dict_class")
    if kind not in _INPUT_BIASES:
        raise unknown(kind, path, ", ".join(_INPUT_BIASES))
    weights = read_weights(next(folder / name for name in WEIGHTS if (folder / name).is_file()))
    encoder, decoder = _encoder_and_decoder(kind, weights)
    latents, width = encoder.shape
    scale = _scale(decoder) if kind == "AutoEncoder" else None  # this class is opened with directions of length 1
    input_bias = _INPUT_BIASES[kind]
    return SparseAutoencoder(
        LIBRARY,
        encoder.float() if scale is None else encoder.float() * scale[:, None],
        _rule(kind, latents, weights, scale, trainer, path),
        decoder,
        None if input_bias is None else weights.floats(input_bias, width),
        content_hash(path, weights.path),
        scale=scale,
    )


def _encoder_and_decoder(kind: str, weights: Weights) -> tuple[Tensor, Tensor]:
    """Both as [latent, width]."""
    if kind in _TRANSPOSED:
        encoder, decoder = weights.matrix("W_enc").T, weights.matrix("W_dec")
    else:
        encoder, decoder = weights.matrix("encoder.weight"), weights.matrix("decoder.weight").T
    if decoder.shape != encoder.shape:
        raise DictionaryError(f"encoder and decoder in {weights.path} do not fit each other")
    return encoder, decoder


def _scale(decoder: Tensor) -> Tensor | None:
    """The lengths of the latents' directions; None where all are 1."""
    norms = row_norms(decoder)
    return None if torch.allclose(norms, torch.ones_like(norms)) else norms


def _rule(
    kind: str,
    latents: int,
    weights: Weights,
    scale: Tensor | None,
    trainer: Mapping[str, Any],
    path: Path,
) -> Rule:
    if kind == "GatedAutoEncoder":
        return Gated(*(weights.floats(name, latents) for name in ("gate_bias", "r_mag", "mag_bias")))
    bias = weights.floats("b_enc" if kind in _TRANSPOSED else "encoder.bias", latents)
    if kind in ("AutoEncoder", "AutoEncoderNew"):
        return Rectified(bias if scale is None else bias * scale)
    if kind == "AutoEncoderTopK":
        return TopLatents(bias, int(weights.tensor("k")) if "k" in weights else positive(trainer, "k", path))
    if kind == "JumpReluAutoEncoder":
        return Jump(bias, weights.floats("threshold", latents))
    return Jump(bias, weights.floats("threshold").expand(latents), name="batchtopk")
