"""FREUD (Whisper's features, with a server): one file of torch's with the state dict `model` and settings `hparams`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch.nn.functional import normalize

from ..autoencoder import SparseAutoencoder
from ..errors import DictionaryError
from ..rules import Rectified, TopLatents
from ..weights import Weights, content_hash
from .settings import positive

LIBRARY = "FREUD"


def is_here(weights: Weights) -> bool:
    """Whether a file is a checkpoint of its training."""
    return isinstance(weights.more.get("hparams"), Mapping) and isinstance(weights.more.get("model"), Mapping)


def read(weights: Weights) -> SparseAutoencoder:
    """The dictionary in a file. Raises DictionaryError for one that is not whole."""
    return _of_l1(weights) if "encoder_bias" in weights else _of_topk(weights)


def _of_l1(weights: Weights) -> SparseAutoencoder:
    """Its encoder is its decoder turned over, whose directions have length 1."""
    directions = normalize(weights.matrix("decoder.weight").float(), dim=0).T
    bias = weights.floats("encoder_bias", len(directions))
    return SparseAutoencoder(LIBRARY, directions, Rectified(bias), directions, None, content_hash(weights.path))


def _of_topk(weights: Weights) -> SparseAutoencoder:
    encoder, decoder = weights.matrix("encoder.weight"), weights.matrix("W_dec")
    latents, width = encoder.shape
    if decoder.shape != encoder.shape:
        raise DictionaryError(f"encoder.weight and W_dec in {weights.path} do not fit each other")
    rule = TopLatents(weights.floats("encoder.bias", latents), positive(_settings(weights), "k", weights.path))
    return SparseAutoencoder(
        LIBRARY, encoder.float(), rule, decoder, weights.floats("b_dec", width), content_hash(weights.path)
    )


def _settings(weights: Weights) -> Mapping[str, Any]:
    """The settings of a topk dictionary, under the name that they have now or had before."""
    settings = weights.more["hparams"]
    named = (settings.get(name) for name in ("autoencoder_config", "topk_params"))
    return next((each for each in named if isinstance(each, Mapping)), {})
