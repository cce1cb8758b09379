"""Models that call their input `input_features`: TransformerLens sends all sound as `input_values`."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import nn

_MASK = "input_features_mask"
CHANGES = "_and_nnsight_lens_changes"


def takes_features(model: Any) -> None:
    """Let a model accept its spectrogram as `input_values`, and not be taken for one that turns tokens into tokens.

    What is changed is noted on the model, so that `restored` can undo it.
    """
    if "input_features" not in inspect.signature(type(model).forward).parameters:
        return
    handle = model.register_forward_pre_hook(_renamed, with_kwargs=True)
    config = model.config
    setattr(model, CHANGES, (handle, getattr(config, "is_encoder_decoder", None)))
    if getattr(config, "is_encoder_decoder", False):
        config.is_encoder_decoder = False


def undo_features(model: Any) -> None:
    """Undo `takes_features`."""
    handle, encoder_decoder = getattr(model, CHANGES, (None, None))
    if handle is None:
        return
    handle.remove()
    if encoder_decoder is not None:
        model.config.is_encoder_decoder = encoder_decoder
    delattr(model, CHANGES)


def _renamed(model: nn.Module, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    if "input_values" in kwargs:
        heard: torch.Tensor = kwargs["input_values"]
        kwargs = {("input_features" if name == "input_values" else name): value for name, value in kwargs.items()}
        if "decoder_input_ids" in inspect.signature(type(model).forward).parameters:
            config: Any = model.config
            start = torch.full((len(heard), 1), int(config.decoder_start_token_id), device=heard.device)
            kwargs.setdefault("decoder_input_ids", start)
        if _MASK in inspect.signature(type(model).forward).parameters:
            kwargs = _masked(kwargs, heard)
    return args, kwargs


def _masked(kwargs: dict[str, Any], heard: torch.Tensor) -> dict[str, Any]:
    """With the mask of a spectrogram's frames under the name that the model has for it; without one, all count."""
    mask = kwargs.pop("attention_mask", None)
    if mask is None:
        mask = torch.ones(len(heard), heard.shape[-1], dtype=torch.long, device=heard.device)
    return {_MASK: mask, **kwargs}
