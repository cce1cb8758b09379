"""A window of fixed length cut short for a while, where the model's positions allow it: most of it would be padding.

Whisper's encoder, and those built like it, hear 30 s whatever the clip lasts. With the first positions alone they hear
the clip's beginning, at a cost that goes with its length. Values are near those of the whole window, not equal: what
attends to padding attends to less of it. Good for looking for something that the whole window then has to confirm.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn


def positions_of(module: nn.Module) -> int | None:
    """How many positions the model's window has, where it can be cut short; None where it cannot."""
    return min((encoder.config.max_source_positions for encoder in _encoders(module)), default=None)


@contextmanager
def short_window(module: nn.Module, positions: int) -> Iterator[None]:
    """While open, the model's encoder hears so many positions (frames of its blocks) only; then it is as it was.

    Features have to be of that length, too. Raises ValueError where the model has no such window, or fewer positions.
    """
    encoders = _encoders(module)
    if not encoders:
        raise ValueError(f"the window of {type(module).__name__} cannot be cut short")
    places = [(encoder, encoder.embed_positions, encoder.config.max_source_positions) for encoder in encoders]
    for _, _, most in places:
        if not 0 < positions <= most:
            raise ValueError(f"a window of {positions} positions was asked for, and the model has {most}")
    try:
        for encoder, whole, _ in places:
            first = whole.weight[:positions].detach()
            encoder._modules["embed_positions"] = nn.Embedding.from_pretrained(first).train(whole.training)
            encoder.config.max_source_positions = positions
        yield
    finally:
        for encoder, whole, most in places:
            encoder._modules["embed_positions"] = whole
            encoder.config.max_source_positions = most


def _encoders(module: nn.Module) -> list[Any]:
    """The modules in it that are built like Whisper's encoder."""
    encoders: list[Any] = [child for child in module.modules() if _is_encoder(child)]
    return encoders


def _is_encoder(module: Any) -> bool:
    parts: Any = module._modules
    positions, config = parts.get("embed_positions"), getattr(module, "config", None)
    return (
        isinstance(positions, nn.Embedding)
        and {"conv1", "conv2"} <= parts.keys()
        and getattr(config, "max_source_positions", None) == positions.num_embeddings
    )
