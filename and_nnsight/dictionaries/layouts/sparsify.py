"""sparsify (eai-sparsify): `cfg.json` beside `sae.safetensors`, a folder a hookpoint."""

from __future__ import annotations

from pathlib import Path

from ..autoencoder import SparseAutoencoder
from ..errors import DictionaryError
from ..rules import GroupMaximum, TopLatents
from ..weights import content_hash, read_settings, read_weights
from .settings import positive, unknown

LIBRARY = "sparsify"
SETTINGS, WEIGHTS = "cfg.json", "sae.safetensors"
FILES = (SETTINGS, WEIGHTS)


def is_here(folder: Path) -> bool:
    """Whether a folder holds such files."""
    return (folder / WEIGHTS).is_file()


def read(folder: Path) -> SparseAutoencoder:
    """The dictionary in a folder. Raises DictionaryError for one that is not whole, or of another architecture."""
    path = folder / SETTINGS
    settings, weights = read_settings(path), read_weights(folder / WEIGHTS)
    encoder = weights.matrix("encoder.weight")
    latents, width = encoder.shape
    bias, k = weights.floats("encoder.bias", latents), positive(settings, "k", path)
    activation, transcoder = settings.get("activation", "topk"), bool(settings.get("transcode"))
    if activation not in ("topk", "groupmax"):
        raise unknown(activation, path, "topk and groupmax")
    if activation == "groupmax" and latents % k:
        raise DictionaryError(f"{path}: {latents} latents do not part into {k} groups")
    decoder = None if transcoder else weights.matrix("W_dec")
    if decoder is not None and decoder.shape != encoder.shape:
        raise DictionaryError(f"encoder.weight and W_dec in {weights.path} do not fit each other")
    return SparseAutoencoder(
        LIBRARY,
        encoder.float(),
        TopLatents(bias, k) if activation == "topk" else GroupMaximum(bias, latents // k),
        decoder,
        None if transcoder else weights.floats("b_dec", width),
        content_hash(path, weights.path),
    )
