"""SAELens: `cfg.json` beside `sae_weights.safetensors`, as `save_inference_model` writes them (versions 3 to 6)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ..autoencoder import SparseAutoencoder
from ..errors import DictionaryError
from ..rules import Gated, Jump, Rectified, Rule, TopLatents
from ..scaling import known_scaling
from ..weights import Weights, content_hash, read_settings, read_weights
from .settings import positive, row_norms, unknown

LIBRARY = "SAELens"
SETTINGS, WEIGHTS = "cfg.json", "sae_weights.safetensors"
FILES = (SETTINGS, WEIGHTS)
_KNOWN = "standard, topk, abstopk, jumprelu (batchtopk is saved as that) and gated"
_TRAINING = ("batchtopk", "matryoshka_batchtopk")


def is_here(folder: Path) -> bool:
    """Whether a folder holds such files."""
    return (folder / WEIGHTS).is_file()


def read(folder: Path) -> SparseAutoencoder:
    """The dictionary in a folder. Raises DictionaryError for one that is not whole, or of another architecture."""
    path = folder / SETTINGS
    settings, weights = read_settings(path), read_weights(folder / WEIGHTS)
    architecture = _architecture(settings, path)
    encoder = weights.matrix("W_enc").T
    width = encoder.shape[1]
    decoder = weights.matrix("W_dec")
    if decoder.shape != encoder.shape:
        raise DictionaryError(f"W_enc and W_dec in {weights.path} do not fit each other")
    scale = row_norms(decoder) if settings.get("rescale_acts_by_decoder_norm") and "topk" in architecture else None
    return SparseAutoencoder(
        LIBRARY,
        encoder.float(),
        _rule(architecture, settings, weights, scale, path),
        decoder,
        weights.floats("b_dec", width) if settings.get("apply_b_dec_to_input", True) else None,
        content_hash(path, weights.path),
        scale=scale,
        scaling=known_scaling(settings.get("normalize_activations") or "none"),
    )


def _architecture(settings: Mapping[str, Any], path: Path) -> str:
    """The name of the architecture. Files of versions before 6 may name it by the activation function alone."""
    architecture = settings.get("architecture", "standard")
    function = settings.get("activation_fn", settings.get("activation_fn_str")) or "relu"
    if settings.get("finetuning_scaling_factor"):
        raise DictionaryError(f"{path} has a finetuning scaling factor, which is not known here: fold it into W_dec")
    if architecture in _TRAINING:
        raise DictionaryError(
            f"{path} is a checkpoint of the training of a {architecture}: save it with save_inference_model()"
        )
    if architecture == "standard" and function == "topk":
        return "topk"
    if function not in ("relu", "topk"):
        raise unknown(f"{architecture} with {function}", path, _KNOWN)
    return str(architecture)


def _rule(architecture: str, settings: Mapping[str, Any], weights: Weights, scale: Tensor | None, path: Path) -> Rule:
    latents = weights.matrix("W_enc").shape[1]
    if architecture == "gated":
        return Gated(*(weights.floats(name, latents) for name in ("b_gate", "r_mag", "b_mag")))
    if architecture not in ("standard", "topk", "abstopk", "jumprelu"):
        raise unknown(architecture, path, _KNOWN)
    bias = weights.floats("b_enc", latents)
    if architecture == "standard":
        return Rectified(bias)
    if architecture == "jumprelu":
        return Jump(bias, weights.floats("threshold", latents))
    inner = settings.get("activation_fn_kwargs") or {}
    k = positive(settings if "k" in settings else inner, "k", path)
    return TopLatents(bias, k, scale, by_magnitude=architecture == "abstopk")
