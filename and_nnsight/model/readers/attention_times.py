"""Seconds of a decoder's tokens by its own attention to the sound, in a forward of the text as it stands."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ...data.tokens import Token
from ...sites.reader_blocks import ReaderBlock
from ...speech.alignment import MEDIAN_WIDTH, alignment_heads, token_frames
from ..checkpoint import ModelError
from ..features import Features

_DIGITS = 6
_SLACK = 1e-6  # of a number of frames, which floats make a little more
_Projections = dict[tuple[int, str], Tensor]
"""What an attention's query and key projections give, by its layer and their names."""


class AttentionTimes:
    """Times of tokens by the heads of a decoder that look at the sound of what is written (`speech.alignment`)."""

    def __init__(self, module: nn.Module, blocks: Sequence[ReaderBlock], window: float) -> None:
        """`window` is how many seconds all frames of the encoder are.

        Raises ModelError for a head that is named and not there.
        """
        self._module, self._window = module, window
        self.heads = alignment_heads(getattr(module, "generation_config", None))
        self._attentions: dict[int, Any] = {}
        for layer, head in self.heads:
            cross = blocks[layer].cross if 0 <= layer < len(blocks) else None
            attention: Any = None if cross is None else module.get_submodule(cross.path)
            if not 0 <= head < getattr(attention, "num_heads", 0):
                raise ModelError(
                    f"the generation config names [{layer}, {head}] as an alignment head, and the decoder has no such "
                    "head: correct generation_config.alignment_heads, or set it to None"
                )
            self._attentions[layer] = attention

    def described(self) -> str:
        """Which heads, for a manifest."""
        return ", ".join(f"{layer}.{head}" for layer, head in self.heads)

    def in_time(
        self,
        texts: Sequence[list[Token]],
        seconds: Sequence[float],
        inputs: Features,
        before: int,
        is_said: Callable[[int], bool],
    ) -> list[list[Token]]:
        """Tokens of texts of one length, those that are said with their seconds.

        seconds  of the clips
        inputs   of a forward over the whole texts
        before   tokens that each text begins with, which are not among these
        is_said  tells text by its id from timestamps and ends
        """
        with self._projections() as caught, torch.no_grad():
            self._module(**inputs, use_cache=False)
        placed = []
        for row, (text, length) in enumerate(zip(texts, seconds, strict=True)):
            said = [place for place, token in enumerate(text) if is_said(token.id)]
            starts = self._starts(caught, row, length, [before + place for place in said]) if said else []
            times = {place: (starts[count], starts[count + 1]) for count, place in enumerate(said)}
            placed.append([token._replace(**_times(times.get(place))) for place, token in enumerate(text)])
        return placed

    def _starts(self, caught: _Projections, row: int, seconds: float, positions: Sequence[int]) -> list[float]:
        """When the tokens at positions begin that a clip's text has, and when the last of them ends."""
        frames = caught[self.heads[0][0], "k_proj"].shape[1]
        hop = self._window / frames
        own = max(1, min(frames, math.ceil(seconds / hop - _SLACK)))
        attention = torch.stack([self._weights(caught, row, layer, head)[:, :own] for layer, head in self.heads])
        width = getattr(self._module.config, "median_filter_width", MEDIAN_WIDTH)
        # A token is looked for while the one before it is read; at the last, what comes behind it.
        looking = [*(position - 1 for position in positions), positions[-1]]
        firsts = token_frames(attention.softmax(-1), looking, width)
        return [round(first * hop, _DIGITS) for first in firsts.tolist()]

    def _weights(self, caught: _Projections, row: int, layer: int, head: int) -> Float[Tensor, "position frame"]:
        """How a head weighs the encoder's frames, before the softmax."""
        count = self._attentions[layer].num_heads
        query, key = (
            caught[layer, name][row].unflatten(-1, (count, -1))[:, head].float() for name in ("q_proj", "k_proj")
        )
        return query @ key.T / query.shape[-1] ** 0.5

    @contextmanager
    def _projections(self) -> Iterator[_Projections]:
        """While open, what the attentions make of text and sound is caught."""
        caught: _Projections = {}

        def catch(layer: int, name: str, _: nn.Module, __: object, output: Tensor) -> None:
            caught[layer, name] = output

        handles = [
            attention.get_submodule(name).register_forward_hook(partial(catch, layer, name))
            for layer, attention in self._attentions.items()
            for name in ("q_proj", "k_proj")
        ]
        try:
            yield caught
        finally:
            for handle in handles:
                handle.remove()


def _times(times: tuple[float, float] | None) -> dict[str, float]:
    return {} if times is None else {"start": times[0], "end": times[1]}
