"""WavLM's attention with hooks inside: it hands the weights of its projections to one function of torch's."""

from __future__ import annotations

import inspect
import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from .components import EncoderAttentionBridge

_PARAMETERS = inspect.signature(functional.multi_head_attention_forward)


class WavLMAttentionBridge(EncoderAttentionBridge):
    """Takes that function apart, so that q, k, v, z, scores and pattern exist: equal up to rounding.

    `hook_pattern` holds every head's pattern, where transformers returns their mean.
    """

    def _attend(self, *args: Any, **kwargs: Any) -> Any:
        attention: Any = self.original_component
        with _TakenApart(self):
            return attention(*args, **kwargs)

    def taken_apart(
        self, query: Tensor, heads: int, bias: Tensor, padding: Tensor | None, dropout: float
    ) -> tuple[Tensor, Tensor]:
        """Multi-head attention of `query` [frame, clip, unit] over itself; `bias` [clip · head, query, key] is added.

        Returns its output and the mean of the heads' patterns, as torch's function does.
        """
        frames, clips, width = query.shape
        hidden = query.transpose(0, 1)
        size = width // heads
        q, k, v = (
            projected(hidden).transpose(0, 1).reshape(frames, clips * heads, size).transpose(0, 1)
            for projected in (self.q, self.k, self.v)
        )
        if padding is not None:
            low = torch.zeros_like(padding, dtype=q.dtype).masked_fill(padding, -torch.inf)
            bias = bias + low[:, None, None].expand(-1, heads, -1, -1).reshape(clips * heads, 1, frames)
        scores = torch.baddbmm(bias, q * math.sqrt(1.0 / size), k.transpose(-2, -1))
        scores = self.hook_attn_scores(scores.view(clips, heads, frames, frames))
        pattern = functional.dropout(self.hook_pattern(functional.softmax(scores, -1)), dropout)
        z = torch.bmm(pattern.reshape(clips * heads, frames, frames), v)
        z = z.view(clips, heads, frames, size).transpose(1, 2).reshape(clips, frames, width)
        # In torch's memory layout, by which dropout draws.
        return self.o(z).transpose(0, 1).contiguous(), pattern.mean(1)


class _TakenApart(TorchFunctionMode):
    """While open, torch's multi-head attention is computed by a WavLMAttentionBridge."""

    def __init__(self, bridge: WavLMAttentionBridge) -> None:
        super().__init__()
        self._bridge = bridge

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Intercept the one function."""
        if func is not functional.multi_head_attention_forward:
            return func(*args, **(kwargs or {}))
        given = _PARAMETERS.bind(*args, **(kwargs or {}))
        given.apply_defaults()
        of = given.arguments
        dropout = of["dropout_p"] if of["training"] else 0.0
        return self._bridge.taken_apart(of["query"], of["num_heads"], of["attn_mask"], of["key_padding_mask"], dropout)
