"""Hooks on attention scores and patterns, wherever in its own code a model computes them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

Hook = Callable[[Tensor], Tensor]
_SOFTMAXES = (functional.softmax, torch.softmax, Tensor.softmax)


class AttentionWeightHooks(TorchFunctionMode):
    """While open, an attention's scores and pattern pass through two hooks on their way.

    Attention that takes its softmax itself is computed by the same calls as ever. torch's fused attention, which has
    neither tensor, is spelt out: equal up to rounding. `heads` is given where clips and heads share the first axis.
    """

    def __init__(self, scores: Hook, pattern: Hook, heads: int | None = None) -> None:
        super().__init__()
        self._scores, self._pattern, self._heads = scores, pattern, heads

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Intercept the softmax over four axes (or three that are meant to be four), and fused attention."""
        kwargs = kwargs or {}
        if func in _SOFTMAXES and isinstance(args[0], Tensor) and args[0].ndim == 4:
            return self._pattern(func(self._scores(args[0]), *args[1:], **kwargs))
        if func in _SOFTMAXES and self._heads is not None and isinstance(args[0], Tensor) and args[0].ndim == 3:
            scores = self._scores(args[0].unflatten(0, (-1, self._heads)))
            return self._pattern(func(scores, *args[1:], **kwargs)).flatten(0, 1)
        if func is functional.scaled_dot_product_attention:
            return self._spelt_out(*args, **kwargs)
        return func(*args, **kwargs)

    def _spelt_out(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> Tensor:
        if is_causal or enable_gqa:
            raise NotImplementedError("attention of an encoder is neither causal nor grouped")
        scores = query @ key.transpose(-2, -1) * (1 / math.sqrt(query.shape[-1]) if scale is None else scale)
        if attn_mask is not None:
            low = torch.finfo(scores.dtype).min
            scores = scores.masked_fill(~attn_mask, low) if attn_mask.dtype == torch.bool else scores + attn_mask
        pattern = self._pattern(self._scores(scores).softmax(-1))
        return functional.dropout(pattern, dropout_p) @ value
