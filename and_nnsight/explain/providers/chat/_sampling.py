"""Sampling that does not depend on the batch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ...roles import ChatOptions


class Sampling:
    """Makes greedy decoding sample: to each conversation's logits it adds Gumbel noise from a generator of its own.

    The highest of logits plus Gumbel noise is a draw from their softmax. Each generator is seeded by the options' seed
    and the conversation's tokens; the noise is drawn on the CPU, so that it is the same on every device.
    """

    def __init__(self, prompts: Sequence[Sequence[int]], options: ChatOptions) -> None:
        self._generators = [torch.Generator().manual_seed(_seed(prompt, options.seed)) for prompt in prompts]
        self._temperature, self._top_p = options.temperature, options.top_p

    def __call__(
        self, input_ids: Int[Tensor, "row time"], scores: Float[Tensor, "row word"]
    ) -> Float[Tensor, "row word"]:
        """The logits of the next token with noise; −inf outside the `top_p` most probable ones."""
        logits = scores.float() / self._temperature
        if self._top_p < 1:
            ordered, places = logits.sort(dim=-1, descending=True)
            probability = ordered.softmax(-1)
            beyond = probability.cumsum(-1) - probability >= self._top_p
            logits = logits.masked_fill(beyond.scatter(-1, places, beyond), -torch.inf)
        uniform = torch.stack([torch.rand(logits.shape[-1], generator=generator) for generator in self._generators])
        smallest = torch.finfo(uniform.dtype).tiny
        return logits - (-uniform.clamp_min(smallest).log()).clamp_min(smallest).log().to(logits.device)


def _seed(prompt: Sequence[int], seed: int) -> int:
    content = json.dumps([seed, list(prompt)]).encode()
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest()) >> 1
